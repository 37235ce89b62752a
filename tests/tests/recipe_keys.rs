//! `dmdx-train keys` is held to the code: every field of the recipe's structs has an entry, every entry says what the field's
//! documentation says, and defaults are those that serde fills in.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_train::method;
use dmdx_train::recipe::explain::{DefaultValue, Explained, explained};
use dmdx_train::recipe::{Checkpoint, Data, Discriminator, Health, Lora, Optimizer, Pairs};
use syn::{Expr, Fields, Item, Lit, Meta, Type};

/// The structs of a source file by name: each field, its type and its documentation.
type Structs = BTreeMap<String, Vec<(String, String, String)>>;

fn structs(file: &str) -> Structs {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../train/src").join(file);
    let parsed = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Structs::new();
    for item in parsed.items {
        if let Item::Struct(item) = item
            && let Fields::Named(fields) = item.fields
        {
            let field = |field: syn::Field| {
                (
                    field.ident.unwrap().to_string(),
                    inner(&field.ty),
                    field.attrs.iter().filter_map(doc).collect::<Vec<_>>().join(" "),
                )
            };
            found.insert(item.ident.to_string(), fields.named.into_iter().map(field).collect());
        }
    }
    found
}

/// The last name of a type, of what is in an `Option`.
fn inner(ty: &Type) -> String {
    let Type::Path(path) = ty else { return String::new() };
    let last = path.path.segments.last().unwrap();
    match (&last.arguments, last.ident == "Option") {
        (syn::PathArguments::AngleBracketed(arguments), true) => match arguments.args.first() {
            Some(syn::GenericArgument::Type(ty)) => inner(ty),
            _ => String::new(),
        },
        _ => last.ident.to_string(),
    }
}

fn doc(attribute: &syn::Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    match (&meta.value, meta.path.is_ident("doc")) {
        (Expr::Lit(value), true) => match &value.lit {
            Lit::Str(text) => Some(text.value().trim().replace('`', "")),
            _ => None,
        },
        _ => None,
    }
}

/// The dotted keys below a struct, with their documentation.
fn walk(structs: &Structs, of: &str, prefix: &str, found: &mut BTreeMap<String, String>) {
    for (name, ty, doc) in &structs[of] {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match structs.contains_key(ty) {
            true => walk(structs, ty, &key, found),
            false => drop(found.insert(key, doc.clone())),
        }
    }
}

fn all() -> BTreeMap<String, Explained> {
    explained(&method::sections()).unwrap().into_iter().map(|key| (key.key.clone(), key)).collect()
}

#[test]
fn every_field_of_a_recipe_has_an_entry_and_every_entry_a_field() {
    let mut fields = BTreeMap::new();
    let mut common = structs("recipe/sections.rs");
    common.extend(structs("recipe/lora.rs"));
    common.extend(structs("recipe/data.rs"));
    common.extend(structs("recipe/health.rs"));
    common.extend(structs("recipe/mod.rs"));
    walk(&common, "Recipe", "", &mut fields);
    // The methods' sections are theirs.
    fields.remove("methods").unwrap();
    for method in method::METHODS {
        let file = format!("method/{0}/section.rs", method.section.name);
        let own = structs(&file);
        let name = own.keys().find(|name| name.to_lowercase() == method.section.name).unwrap();
        walk(&own, name, method.section.name, &mut fields);
    }
    let explained = all();
    assert!(fields.keys().eq(explained.keys()), "{:?} differ from {:?}", fields.keys(), explained.keys());
    for (key, doc) in &fields {
        let text = explained[key].text;
        assert_eq!(text.meaning, doc, "{key}: the text of `dmdx-train keys` and the field's documentation");
        assert!(!text.source.is_empty() && !explained[key].allowed.is_empty(), "{key}");
    }
}

#[test]
fn defaults_are_those_that_serde_fills_in() {
    let explained = all();
    let value = |key: &str| match &explained[key].default {
        DefaultValue::Value(value) => value.clone(),
        other => panic!("{key} is {other}"),
    };
    for (section, table) in [
        ("pairs", toml::Table::try_from(Pairs::default()).unwrap()),
        ("discriminator", toml::Table::try_from(Discriminator::default()).unwrap()),
        ("lora", toml::Table::try_from(Lora::default()).unwrap()),
        ("checkpoint", toml::Table::try_from(Checkpoint::default()).unwrap()),
        ("health", toml::Table::try_from(Health::default()).unwrap()),
        ("optimizer", toml::Table::try_from(Optimizer::default()).unwrap()),
        ("adp", toml::Table::try_from(method::adp::Adp::default()).unwrap()),
        ("reflow", toml::Table::try_from(method::reflow::Reflow::default()).unwrap()),
        ("data", toml::Table::try_from(Data::default()).unwrap()),
        ("dmd2", toml::Table::try_from(method::dmd2::Dmd2::default()).unwrap()),
        ("regression", toml::Table::try_from(method::regression::Regression::default()).unwrap()),
        ("dmd", toml::Table::try_from(method::dmd::Dmd::default()).unwrap()),
        ("lcm", toml::Table::try_from(method::lcm::Lcm::default()).unwrap()),
        ("ladd", toml::Table::try_from(method::ladd::Ladd::default()).unwrap()),
        ("adm", toml::Table::try_from(method::adm::Adm::default()).unwrap()),
    ] {
        for (key, wanted) in table {
            assert_eq!(value(&format!("{section}.{key}")), wanted, "{section}.{key}");
        }
    }
    assert_eq!(value("score.count_per_prompt"), toml::Value::Integer(20));
    assert_eq!(value("prompts.dtype"), toml::Value::String("f32".into()));
    assert_eq!(value("discriminator.pixel.input"), toml::Value::String("imagenet".into()));
    for key in ["teacher.path", "teacher.guidance", "discriminator.pixel.path", "score.classifier"] {
        assert_eq!(explained[key].default, DefaultValue::Required, "{key}");
    }
    for key in ["prompts.list", "prompts.file", "student.steps", "pairs.path", "data.path"] {
        assert_eq!(explained[key].default, DefaultValue::None, "{key}");
    }
}
