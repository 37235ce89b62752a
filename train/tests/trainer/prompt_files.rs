//! Prompts out of JSON lines, tables and Parquet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dmdx_train::TrainError;
use dmdx_train::data::Prompts;
use dmdx_train::method::sections;
use dmdx_train::recipe::LoadedRecipe;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::counting;
use super::prompts::are;
use super::toy::RECIPE;

fn open(path: &Path, column: Option<&str>) -> Result<Prompts, TrainError> {
    let column = column.map(|name| format!("\ncolumn = '{name}'")).unwrap_or_default();
    let text = RECIPE.replace("list = [\"one\"]", &format!("file = '{}'{column}", path.display()));
    Prompts::open(&LoadedRecipe::parse(&text, Path::new("r.toml"), &[], &sections())?)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The sentence about a file, without the folder.
    fn sentence(&self, name: &str, bytes: impl AsRef<[u8]>, column: Option<&str>) -> String {
        let path = self.write(name, bytes);
        let all = open(&path, column).and_then(|prompts| prompts.sha256());
        all.unwrap_err().to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/prompts").join(name)
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_string).into()
}

#[test]
fn json_lines_have_a_prompt_in_each_object() {
    let folder = Folder::new();
    let text = "\u{feff}{\"id\": 1, \"text\": \"a red \\u00e9\\n\", \"more\": {\"text\": [1]}}\r\n\n  {\"text\": \" two \"}";
    for ending in ["jsonl", "ndjson", "json", "JSONL"] {
        are(&open(&folder.write(&format!("p.{ending}"), text), None).unwrap(), &texts(["a red é\n", " two "]));
    }
    let many: String =
        (0..5000).map(|i| format!("{}{{\"label\": \"prompt {i}\"}}\n", if i % 7 == 0 { "\n" } else { "" })).collect();
    let wanted: Vec<String> = (0..5000).map(|i| format!("prompt {i}")).collect();
    are(&open(&folder.write("many.jsonl", many), Some("label")).unwrap(), &wanted);

    for (text, column, sentence) in [
        ("[1]", None, "p.jsonl is damaged: line 1 is no JSON object with texts (invalid type: sequence, expected an object)"),
        ("{\"text\": 3}", None, "line 1 is no JSON object with texts (invalid type: integer `3`, expected a string)"),
        (
            "{\"text\": \"a\"}\n\n{\"text\": null}",
            None,
            "line 3 is no JSON object with texts (invalid type: null, expected a string)",
        ),
        ("{\"text\": \"a\"}\n{\"txt\": \"b\"}", None, "p.jsonl is damaged: line 2 has no \"text\""),
        ("{\"text\": \"a\"} {", None, "line 1 is no JSON object with texts (trailing characters)"),
        ("{\"text\": \"a\", \"text\": \"b\"}", Some("text"), "line 1 is no JSON object with texts (text is there twice)"),
        ("{\"text\": \"\"}", None, "line 1 has an empty prompt; leave it out, since nothing can be learnt of it"),
        (
            "{\"text\": \"a\", \"prompt\": \"b\"}",
            None,
            "the recipe's prompts.column is missing, but p.jsonl has text and prompt; say which",
        ),
        (
            "{\"a\": \"a\", \"b\": 1}",
            None,
            "the recipe's prompts.column is missing, and p.jsonl has none of prompt, text, caption but a, b",
        ),
        ("{\"text\": \"a\"}", Some("words"), "the recipe's prompts.column is \"words\", but p.jsonl has text"),
    ] {
        let said = folder.sentence("p.jsonl", text, column);
        assert!(said.ends_with(sentence), "{text}: {said}");
    }
    let deep = format!("{{\"text\": {}", "[".repeat(100_000));
    assert!(folder.sentence("p.jsonl", deep, None).contains("line 1 is no JSON object with texts (EOF while parsing"));
    assert!(folder.sentence("p.jsonl", b"{\"text\": \"\xff\"}", None).ends_with("p.jsonl is damaged: line 1 is not UTF-8 text"));
    let long = format!("{{\"text\": \"{}\"}}", "x".repeat(1 << 20));
    assert!(folder.sentence("p.jsonl", long, None).ends_with("line 1 is longer than 1048576 bytes"));
    assert_eq!(
        folder.sentence("p.txt", "a", Some("text")),
        "the recipe's prompts.column is \"text\", but p.txt is read as text, which has no columns"
    );
}

#[test]
fn tables_have_a_column_of_prompts() {
    let folder = Folder::new();
    let text = "\u{feff}id,caption\r\n1,\"a \"\"red\"\", one\nin two lines\"\r\n\r\n2, two \r\n";
    are(&open(&folder.write("p.csv", text), None).unwrap(), &texts(["a \"red\", one\nin two lines", " two "]));
    are(&open(&folder.write("p.tsv", "prompt\tother\na, b\tc\n"), None).unwrap(), &texts(["a, b"]));
    // Records of several lines across the places that are known.
    let many: String = (0..5000).map(|i| format!("{i},\"prompt\n{i}\"\n")).collect();
    let wanted: Vec<String> = (0..5000).map(|i| format!("prompt\n{i}")).collect();
    let prompts = open(&folder.write("many.csv", format!("n,words\n{many}")), Some("words")).unwrap();
    are(&prompts, &wanted);
    for id in [1023, 1024, 1025, 4095, 4096] {
        assert_eq!(prompts.get(id).unwrap(), wanted[id]);
    }

    for (text, column, sentence) in [
        ("a,b\n1,2\n", None, "the recipe's prompts.column is missing, and p.csv has none of prompt, text, caption but a, b"),
        ("text,prompt\n1,2\n", None, "the recipe's prompts.column is missing, but p.csv has text and prompt; say which"),
        ("a,b\n1,2\n", Some("c"), "the recipe's prompts.column is \"c\", but p.csv has a, b"),
        ("text,text\n1,2\n", Some("text"), "p.csv is damaged: line 1 names 2 columns text"),
        ("text,n\na,1\nb\n", None, "p.csv is damaged: line 3 has 1 values, but there are 2 columns"),
        (
            "text,n\na,1\n,2\n",
            None,
            "p.csv is damaged: line 3 has an empty prompt; leave it out, since nothing can be learnt of it",
        ),
        ("", None, "the recipe's prompts.column is missing, and p.csv has none of prompt, text, caption but "),
        ("text\n", None, "the recipe's prompts.file gives no prompt, but a run needs at least one"),
    ] {
        assert_eq!(folder.sentence("p.csv", text, column), sentence, "{text}");
    }
    assert_eq!(folder.sentence("p.csv", b"text\na\n\xff\n", None), "p.csv is damaged: line 3 is not UTF-8 text");
    let long = format!("text\n{}\n", "x".repeat((1 << 20) + 1));
    assert_eq!(folder.sentence("p.csv", long, None), "p.csv is damaged: line 2 has a prompt longer than 1048576 bytes");
    let changed = folder.write("p.csv", "text\na\n");
    let prompts = open(&changed, None).unwrap();
    folder.write("p.csv", "text\na\nb\n");
    assert!(prompts.get(0).unwrap_err().to_string().ends_with("it has changed since the run began; start a new run"));
}

/// A quote that is never closed makes one record of all that follows.
#[test]
fn a_record_without_an_end_is_not_held() {
    let folder = Folder::new();
    let text = format!("text\na\n\"b\n{}", "another line\n".repeat(3 << 20));
    let path = folder.write("p.csv", &text);
    let (error, held) = counting::peak(|| open(&path, None).unwrap_err().to_string());
    assert!(
        error.ends_with("p.csv is damaged: the record at line 3 is longer than 4194304 bytes; is a quote not closed?"),
        "{error}"
    );
    assert!(held < 20 << 20 && text.len() > 38 << 20, "{held} bytes were held");
}

#[test]
fn parquet_files_of_another_program_are_read() {
    let numbered = |count: usize| (0..count).map(|i| format!("a picture of number {i}{}", " é".repeat(i % 3)));
    let colours: Vec<String> = (0..300).map(|i| ["red", "green", "blue"][i % 3].to_string()).collect();
    let prompts = open(&fixture("snappy.parquet"), None).unwrap();
    are(&prompts, &numbered(300).collect::<Vec<_>>());
    for (id, text) in numbered(300).enumerate().filter(|(id, _)| [63, 64, 127, 128, 129, 255, 256].contains(id)) {
        assert_eq!(prompts.get(id).unwrap(), text);
    }
    are(&open(&fixture("snappy.parquet"), Some("colour")).unwrap(), &colours);
    are(&open(&fixture("second.parquet"), None).unwrap(), &colours);
    are(&open(&fixture("plain.parquet"), Some("text")).unwrap(), &numbered(9).collect::<Vec<_>>());
    are(&open(&fixture("plain.parquet"), Some("prompt")).unwrap(), &numbered(18).skip(9).collect::<Vec<_>>());

    let folder = Folder::new();
    let said = |name: &str, column: Option<&str>| folder.sentence(name, std::fs::read(fixture(name)).unwrap(), column);
    for (name, column, sentence) in [
        ("plain.parquet", None, "the recipe's prompts.column is missing, but plain.parquet has text and prompt; say which"),
        ("snappy.parquet", Some("words"), "the recipe's prompts.column is \"words\", but snappy.parquet has id, caption, colour"),
        (
            "snappy.parquet",
            Some("id"),
            "the recipe's prompts.column is \"id\", but in snappy.parquet that column does not hold texts",
        ),
        ("list.parquet", None, "the recipe's prompts.column is \"text\", but in list.parquet that column does not hold texts"),
        ("null.parquet", None, "null.parquet is damaged: row 5 has no text"),
    ] {
        assert_eq!(said(name, column), sentence);
    }
    let zstd = said("zstd.parquet", None);
    assert!(zstd.contains("zstd.parquet is damaged: it is compressed by ZSTD") && zstd.contains("which is not read"), "{zstd}");
}

/// Files cut off anywhere, and with any byte changed: a sentence or other prompts, never a panic or much memory.
#[test]
fn hostile_parquet_files_are_refused() {
    let folder = Folder::new();
    for name in ["plain.parquet", "second.parquet"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for length in 0..whole.len() {
            let said = folder.sentence("p.parquet", &whole[..length], Some("prompt"));
            assert!(said.starts_with("p.parquet is damaged: it ") && !said.contains('\n'), "{length}: {said}");
        }
        for place in 0..whole.len() {
            for change in [0xff, 0x80, 0x01] {
                let mut bytes = whole.clone();
                bytes[place] ^= change;
                let path = folder.write("p.parquet", &bytes);
                let (_, held) = counting::peak(|| open(&path, Some("prompt")).and_then(|prompts| prompts.sha256()));
                assert!(held < 110 << 20, "{name}: {held} bytes were held with byte {place} changed by {change}");
            }
        }
    }
}

/// A page that is large.
#[test]
fn pages_are_not_blown_up() {
    let folder = Folder::new();
    let path = folder.0.path().join("p.parquet");
    // 80 MiB of one letter, in a page that snappy makes small.
    let texts: Vec<String> = (0..80).map(|_| "x".repeat(1 << 20)).collect();
    write(&path, &texts, 80, 1 << 30);
    assert!(std::fs::metadata(&path).unwrap().len() < 8 << 20);
    let (error, held) = counting::peak(|| open(&path, None).unwrap_err().to_string());
    assert!(error.contains("has a page at byte 4 of ") && error.ends_with("bytes, but 67108864 are read at most"), "{error}");
    assert!(held < 1 << 20, "{held} bytes were held");
}

fn write(path: &Path, texts: &[String], rows: usize, page: usize) {
    let schema = Arc::new(parse_message_type("message m { required binary prompt (UTF8); }").unwrap());
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(page)
        .set_compression(parquet::basic::Compression::SNAPPY);
    let mut writer =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, Arc::new(properties.build())).unwrap();
    for group in texts.chunks(rows) {
        let values: Vec<ByteArray> = group.iter().map(|text| ByteArray::from(text.as_str())).collect();
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
        rows.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn memory_does_not_grow_with_the_prompts_of_any_file() {
    let folder = Folder::new();
    let look = |path: &Path| {
        let prompts = open(path, None).unwrap();
        (prompts.len(), prompts.sha256().unwrap(), prompts.get(prompts.len() - 1).unwrap())
    };
    let objects: String = (0..200_000).map(|i| format!("{{\"prompt\": \"prompt number {i}\"}}\n")).collect();
    let records: String = (0..200_000).map(|i| format!("{i},prompt number {i}\n")).collect();
    for (name, text) in [("p.jsonl", objects), ("p.csv", format!("n,prompt\n{records}"))] {
        let path = folder.write(name, text);
        let ((count, _, last), held) = counting::peak(|| look(&path));
        assert_eq!((count, last.as_str()), (200_000, "prompt number 199999"));
        assert!(held < 3 << 17, "{name}: {held} bytes were held");
    }
    // A page and some values at a time, whatever there is.
    let texts: Vec<String> = (0..200_000).map(|i| format!("prompt number {i}")).collect();
    let path = folder.0.path().join("p.parquet");
    let mut peaks = Vec::new();
    for count in [20_000, 200_000] {
        write(&path, &texts[..count], 10_000, 1 << 16);
        let ((found, _, last), held) = counting::peak(|| look(&path));
        assert_eq!((found, last), (count, format!("prompt number {}", count - 1)));
        peaks.push(held);
    }
    assert!(peaks[1] < 2 << 20 && peaks[1] < peaks[0] + (1 << 17), "{peaks:?} bytes were held");
}
