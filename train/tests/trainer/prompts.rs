use std::path::Path;

use dmdx_graph::store::hash::Hasher;
use dmdx_train::TrainError;
use dmdx_train::data::Prompts;
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;

use super::counting;
use super::toy::RECIPE;

fn open(text: &str, folder: &Path) -> Result<Prompts, TrainError> {
    Prompts::open(&LoadedRecipe::parse(text, &folder.join("r.toml"), &[], &sections())?)
}

fn all(prompts: &Prompts) -> Vec<String> {
    prompts.starting(0).unwrap().collect::<Result<_, _>>().unwrap()
}

fn hash(texts: &[String]) -> String {
    let mut hasher = Hasher::new();
    texts.iter().for_each(|text| hasher.text(text));
    hasher.hex()
}

fn template(template: &str, values: &str) -> String {
    format!("[teacher]\npath = '.'\nguidance = [1, 1]\n[adm]\n[prompts]\ntemplate = '{template}'\n[prompts.values]\n{values}")
}

fn file(folder: &Path, text: impl AsRef<[u8]>) -> Result<Prompts, TrainError> {
    std::fs::write(folder.join("p.txt"), text).unwrap();
    open(&RECIPE.replace("list = [\"one\"]", "file = 'p.txt'"), folder)
}

/// One by one, from any place on, and hashed, they are these.
pub fn are(prompts: &Prompts, wanted: &[String]) {
    assert_eq!((prompts.len(), prompts.is_empty()), (wanted.len(), false));
    assert_eq!(all(prompts), wanted);
    assert_eq!(prompts.sha256().unwrap(), hash(wanted));
    for id in [0, wanted.len() / 2, wanted.len() - 1] {
        assert_eq!(prompts.get(id).unwrap(), wanted[id]);
        assert_eq!(
            prompts.starting(id).unwrap().take(3).map(Result::unwrap).collect::<Vec<_>>(),
            wanted[id..].iter().take(3).cloned().collect::<Vec<_>>()
        );
    }
    for beyond in [wanted.len(), wanted.len() + 5000] {
        assert_eq!(prompts.get(beyond).unwrap_err().to_string(), format!("there is no prompt {beyond}, only {}", wanted.len()));
    }
}

#[test]
fn templates_are_every_combination_and_say_what_is_wrong_with_them() {
    let with = |text: &str, values: &str| open(&template(text, values), Path::new("."));
    let prompts = with("{a}{b}{a}", "a = ['x', 'y']\nb = ['1']").unwrap();
    are(&prompts, &["x1x", "x1y", "y1x", "y1y"].map(str::to_string));
    are(
        &with("the {b} of {a}!", "a = ['x', 'y']\nb = ['1', '2']").unwrap(),
        &["the 1 of x!", "the 1 of y!", "the 2 of x!", "the 2 of y!"].map(str::to_string),
    );
    for (text, values, sentence) in [
        ("a {colour", "colour = ['red']", "the recipe's prompts.template is \"a {colour\", but a { has no }"),
        ("a {color}", "colour = ['red']", "the recipe's prompts.template is \"a {color}\", but prompts.values has no color"),
        ("a", "colour = ['red']", "the recipe's prompts.template is \"a\", but it does not use prompts.values.colour"),
        ("{a}", "a = []", "the recipe's prompts.template gives no prompt, but a run needs at least one"),
    ] {
        assert_eq!(with(text, values).unwrap_err().to_string(), sentence);
    }
    let ten = "['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']";
    let error = with("{a}{a}{a}{a}{a}{a}{a}{a}", &format!("a = {ten}")).unwrap_err().to_string();
    assert!(error.ends_with("it makes more than 10000000 prompts"), "{error}");
}

#[test]
fn lists_are_as_they_stand() {
    are(&open(&RECIPE.replace("[\"one\"]", "[' one', 'two']"), Path::new(".")).unwrap(), &[" one", "two"].map(str::to_string));
}

#[test]
fn files_have_one_prompt_a_line() {
    let folder = tempfile::tempdir().unwrap();
    are(&file(folder.path(), "one\n\n  two \r\n").unwrap(), &["one", "two"].map(str::to_string));
    are(&file(folder.path(), "\u{feff}one").unwrap(), &["one".to_string()]);
    are(&file(folder.path(), " \u{a0}\n\nA red seven, é").unwrap(), &["A red seven, é".to_string()]);
    // Lines beyond the places that are known, with blank ones among them.
    let text: String = (0..5000).map(|i| format!("{}prompt {i}\n", if i % 7 == 0 { "\n \n" } else { "" })).collect();
    let prompts = file(folder.path(), &text).unwrap();
    are(&prompts, &(0..5000).map(|i| format!("prompt {i}")).collect::<Vec<_>>());
    for id in [1023, 1024, 1025, 4095, 4096] {
        assert_eq!(prompts.get(id).unwrap(), format!("prompt {id}"));
    }

    assert!(file(folder.path(), " \n\n").unwrap_err().to_string().starts_with("the recipe's prompts.file gives no prompt"));
    let error = file(folder.path(), [b'a', b'\n', 0xff, 0xfe]).unwrap_err();
    assert!(error.to_string().ends_with("p.txt is damaged: line 2 is not UTF-8 text"), "{error}");
    let error = file(folder.path(), vec![b'x'; (1 << 20) + 1]).unwrap_err();
    assert!(error.to_string().ends_with("p.txt is damaged: line 1 is longer than 1048576 bytes"), "{error}");
    let prompts = file(folder.path(), "one\ntwo").unwrap();
    std::fs::write(folder.path().join("p.txt"), "one\ntwo\nthree").unwrap();
    let error = prompts.get(0).unwrap_err().to_string();
    assert!(error.ends_with("p.txt is damaged: it has changed since the run began; start a new run"), "{error}");
}

#[test]
fn memory_does_not_grow_with_the_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let values: String =
        ('a'..='f').map(|name| format!("{name} = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']\n")).collect();
    let million = template("{a}{b}{c}{d}{e}{f} is a number of six digits", &values);
    let lines: String = (0..200_000).map(|i| format!("prompt number {i}\n")).collect();
    let look = |prompts: Prompts| (prompts.len(), prompts.sha256().unwrap(), prompts.get(prompts.len() - 1).unwrap());
    let ((count, _, last), held) = counting::peak(|| look(open(&million, folder.path()).unwrap()));
    assert_eq!((count, last.as_str()), (1_000_000, "999999 is a number of six digits"));
    assert!(held < 1 << 16, "{held} bytes were held");
    std::fs::write(folder.path().join("p.txt"), &lines).unwrap();
    let text = RECIPE.replace("list = [\"one\"]", "file = 'p.txt'");
    let ((count, _, last), held) = counting::peak(|| look(open(&text, folder.path()).unwrap()));
    assert_eq!((count, last.as_str()), (200_000, "prompt number 199999"));
    assert!(held < 3 << 16 && lines.len() > 1 << 21, "{held} bytes were held");
}
