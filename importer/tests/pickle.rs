//! Pickle files: refused unless allowed, then read without running anything; hostile ones are refused in one sentence.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{copy, fixture, sentence};
use dmdx_importer::{ImportOptions, Limits, check, import};

fn allowed() -> ImportOptions {
    ImportOptions { allow_pickle: true, ..ImportOptions::default() }
}

/// The small text encoder's archive and its description.
fn archive() -> Vec<u8> {
    std::fs::read(fixture("zoo/bin_clip_l/pytorch_model.bin")).unwrap()
}

/// What is said of a file of these bytes.
fn refusal(bytes: &[u8]) -> String {
    let folder = copy("zoo/bin_clip_l");
    std::fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
    let text = sentence(import(folder.path(), &allowed()), folder.path());
    text.replace("`DIR/pytorch_model.bin` is not read although pickle is allowed: ", "")
}

/// A ZIP archive of stored entries, with the sizes and the method that its directory claims.
fn zip(entries: &[(&str, &[u8], u16, u32)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data, method, size) in entries {
        let offset = bytes.len() as u32;
        let (sizes, name_length) = ([(data.len() as u32).to_le_bytes(), size.to_le_bytes()].concat(), name.len() as u16);
        let middle =
            [&[20, 0, 0, 0][..], &method.to_le_bytes(), &[0; 4], &crc(data).to_le_bytes(), &sizes, &name_length.to_le_bytes()];
        let middle = middle.concat();
        bytes.extend([b"PK\x03\x04", &middle[..], &[0; 2], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02", &[20, 0][..], &middle, &[0; 12], &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, count) = (bytes.len() as u32, entries.len() as u16);
    bytes.extend(&directory);
    bytes.extend([b"PK\x05\x06", &[0; 4][..], &count.to_le_bytes(), &count.to_le_bytes()].concat());
    bytes.extend([&(directory.len() as u32).to_le_bytes()[..], &start.to_le_bytes(), &[0; 2]].concat());
    bytes
}

fn crc(data: &[u8]) -> u32 {
    let step = |crc: u32, _: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !data.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn pickled(program: &[u8]) -> Vec<u8> {
    zip(&[("archive/data.pkl", program, 0, program.len() as u32), ("archive/version", b"3\n", 0, 2)])
}

#[test]
fn allowed_files_equal_the_reference() {
    let folder = fixture("zoo/bin_clip_l");
    let report = check::run(&folder, &folder.join("io.safetensors"), 1e-4, &allowed()).unwrap();
    assert!(report.passed(), "{report}");
    let component = import(&folder, &allowed()).unwrap();
    assert_eq!((component.report.used, component.report.unused.len()), (52, 0));
}

#[test]
fn shards_of_pickle() {
    let folder = copy("zoo/bin_clip_l");
    let names: Vec<String> =
        import(folder.path(), &allowed()).unwrap().parts["text_encoder"].params().keys().map(|name| name.to_string()).collect();
    std::fs::rename(folder.path().join("pytorch_model.bin"), folder.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
    let map: serde_json::Map<String, serde_json::Value> =
        names.into_iter().map(|name| (name, "pytorch_model-00001-of-00001.bin".into())).collect();
    let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(folder.path().join("pytorch_model.bin.index.json"), index).unwrap();
    assert_eq!(import(folder.path(), &allowed()).unwrap().report.used, 52);
    assert!(import(folder.path(), &ImportOptions::default()).is_err());
}

/// `os.system("touch …")`, as `pickle` would run it.
#[test]
fn programs_are_refused_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    for module in ["os\nsystem", "posix\nsystem", "builtins\nexec", "torch.hub\nload"] {
        let program = format!("\u{0}\u{2}c{module}\nX....touch {}\u{0}.", trace.display()).into_bytes();
        let mut program: Vec<u8> = [b"\x80\x02", &program[2..]].concat();
        let text = format!("touch {}", trace.display());
        let length = (text.len() as u32).to_le_bytes();
        program.truncate(2 + 1 + module.len() + 1);
        program.extend([b"X", &length[..], text.as_bytes(), b"\x85R."].concat());
        let name = module.replace('\n', ".");
        assert_eq!(
            refusal(&pickled(&program)),
            format!("it names {name}, which no tensor needs; nothing of it was run, take a safetensors file")
        );
    }
    assert!(!trace.exists());
    assert_eq!(
        refusal(&pickled(b"\x80\x04\x8c\x02os\x8c\x06system\x93.")),
        "it names its classes as pickle's protocol 4 does; save it again with torch.save's default protocol"
    );
}

/// The program of `count` tensors as `torch.save` writes it: nearly everything goes into the memo.
fn described(count: u32) -> Vec<u8> {
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let put = |place: u32| [b"r", &place.to_le_bytes()[..]].concat();
    let get = |place: u32| [b"j", &place.to_le_bytes()[..]].concat();
    let shared: [(u32, &[u8]); 5] = [
        (1, b"ctorch._utils\n_rebuild_tensor_v2\n"),
        (2, b"X\x07\0\0\0storage"),
        (3, b"ctorch\nFloatStorage\n"),
        (4, b"X\x03\0\0\0cpu"),
        (5, b"ccollections\nOrderedDict\n"),
    ];
    let mut program = [b"\x80\x02}", &put(0)[..], b"("].concat();
    for i in 0..count {
        let share = |place: u32| match i {
            0 => shared.iter().find(|(at, _)| *at == place).map(|(_, value)| [*value, &put(place)].concat()).unwrap(),
            _ => get(place),
        };
        let own = |place: u32| put(10 + 10 * i + place);
        let storage = [b"((".to_vec(), share(2), share(3), text("0"), own(1), share(4), b"K\x04t".to_vec(), own(2)].concat();
        let sizes = [b"QK\0K\x04\x85".to_vec(), own(3), b"K\x01\x85".to_vec(), own(4), b"\x89".to_vec()].concat();
        let end = [share(5), b")R".to_vec(), own(5), b"t".to_vec(), own(6), b"R".to_vec(), own(7)].concat();
        program.extend([text(&format!("w{i}")), own(0), share(1), storage, sizes, end].concat());
    }
    program.extend(b"u.");
    program
}

#[test]
fn thousands_of_tensors_in_a_small_file() {
    let program = described(5000);
    let values: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let file = zip(&[
        ("archive/data.pkl", &program, 0, program.len() as u32),
        ("archive/data/0", &values, 0, values.len() as u32),
        ("archive/version", b"3\n", 0, 2),
    ]);
    let text = refusal(&file);
    // It was read, and its names are not those of this network.
    assert!(text.contains("5000 unused tensor(s): w0, w1, w10, "), "{text}");
}

#[test]
fn bombs_are_refused() {
    // Pairs of pairs of pairs, each twice as large as the one before.
    let mut memo = b"\x80\x02)q\x00".to_vec();
    for i in 0..40u8 {
        memo.extend([b"0h", &[i][..], b"h", &[i], b"\x86q", &[i + 1]].concat());
    }
    memo.push(b'.');
    let copies = "its pickled description asks for more than 1048576 bytes, too many for a file of its size";
    assert_eq!(refusal(&pickled(&memo)), copies);
    // Every level is copied into the memo with all levels below it.
    let mut nested = b"\x80\x02N".to_vec();
    nested.extend((0..900u32).flat_map(|i| [b"\x85r", &i.to_le_bytes()[..]].concat()));
    assert_eq!(refusal(&pickled(&[&nested[..], b"."].concat())), copies);
    // A tensor of many dimensions, fetched again and again.
    let dimensions = [b"(", [b'K', 1].repeat(20_000).as_slice(), b"t"].concat();
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0";
    let tensor = [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], &dimensions, &dimensions, b"\x89NtRq\x01"].concat();
    let shapes = [b"\x80\x02]", &tensor[..], &b"h\x01a".repeat(2000), b"."].concat();
    let text = refusal(&pickled(&shapes));
    assert!(text.starts_with("its pickled description asks for more than"), "{text}");
    // Values of one byte each.
    let small = [b"\x80\x02(", vec![b'N'; 1 << 19].as_slice(), b"t."].concat();
    assert!(refusal(&pickled(&small)).starts_with("its pickled description asks for more than"));
    assert_eq!(
        refusal(&zip(&[("archive/data.pkl", b"x\x9c\x03\x00", 8, 1 << 30)])),
        "the entry \"archive/data.pkl\" of its archive is compressed, which torch.save never does"
    );
    let overlapping = [("a/data.pkl", &b"}."[..], 0, 2), ("a/data/0", b"", 0, 0)];
    let mut bytes = zip(&overlapping);
    // The second entry claims a gigabyte that is not there.
    let at = bytes.windows(8).rposition(|window| window == b"a/data/0").unwrap() - 46 + 20;
    bytes[at..at + 8].copy_from_slice(&[0, 0, 0, 64, 0, 0, 0, 64]);
    assert_eq!(refusal(&bytes), "the entries of its archive are larger than the file");
    let nones = [b"\x80\x02(", vec![b'N'; 3 << 20].as_slice(), b"t."].concat();
    assert!(refusal(&pickled(&nones)).contains("too many for one of tensors"), "{}", refusal(&pickled(&nones)));
}

#[test]
fn damaged_files() {
    let whole = archive();
    for length in [1, 4, 30, 1000, whole.len() / 2, whole.len() - 1] {
        let text = refusal(&whole[..length]);
        assert!(text.contains("archive is damaged") || text.contains("neither an archive nor a stream"), "{length}: {text}");
    }
    assert_eq!(refusal(&pickled(b"\x80\x02(")), "its pickled description is cut short; download it again");
    assert_eq!(refusal(&pickled(b"\x80\x02\xff.")), "its pickled description has the instruction 0xff, which no tensor needs");
    assert_eq!(refusal(&pickled(b"\x80\x02}.")), "it holds no tensors by name; take a state_dict or a safetensors file");
    assert_eq!(
        refusal(&zip(&[("a/b", b"", 0, 0)])),
        "`DIR/pytorch_model.bin` is a ZIP archive that begins with \"a/b\", not weights; unpack it and give what is in it"
    );
}

/// Every single changed byte of the description is an error or other values, never a panic.
#[test]
fn no_byte_makes_it_panic() {
    let whole = archive();
    let folder = copy("zoo/bin_clip_l");
    let path = folder.path().join("pytorch_model.bin");
    for at in (0..whole.len().min(6000)).step_by(7).chain((whole.len() - 900..whole.len()).step_by(5)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();
        let _ = import(folder.path(), &allowed());
    }
}

#[test]
fn limits() {
    let small = ImportOptions { limits: Limits { pickle_bytes: 100, ..Limits::default() }, ..allowed() };
    let text = sentence(import(&fixture("zoo/bin_clip_l"), &small), Path::new("/nowhere"));
    assert!(text.contains("pickled description in bytes is ") && text.contains("Limits::pickle_bytes"), "{text}");
}
