use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use dmdx_runtime::manifest::Unconditional;
use dmdx_train::TrainError;
use dmdx_train::data::conditions::{InputRows, collect};
use dmdx_train::data::{ConditionPlan, ConditionStore, Prompts, StoredConditions};
use dmdx_train::recipe::PairDtype;
use dmdx_train::session::Interrupt;

use super::counting;
use super::pairs::contents;

/// Values of one prompt: 12 of states, 3 of the pooled text.
const ROW: usize = 15;

fn prompts(count: usize) -> Prompts {
    Prompts::list((0..count).map(|i| format!("prompt {i}")).collect())
}

/// In shards of 40 prompts.
fn plan_in(dtype: PairDtype, count: usize) -> ConditionPlan {
    let bytes = if dtype == PairDtype::F16 { 2 } else { 4 };
    ConditionPlan {
        teacher_sha256: "aa".to_string(),
        prompts_sha256: "bb".to_string(),
        prompt_count: count,
        encoding: "a toy".to_string(),
        unconditional: Unconditional::EmptyPrompt,
        dtype,
        shard_bytes: 55 * ROW * bytes,
    }
}

fn plan(count: usize) -> ConditionPlan {
    plan_in(PairDtype::F32, count)
}

fn value(text: &str, place: usize) -> f32 {
    text.bytes().map(f32::from).sum::<f32>() / 7.0 + place as f32
}

/// Stands in for the text encoders; the inputs come in another order than that of their names.
fn encode(texts: &[String]) -> Result<Vec<InputRows>, TrainError> {
    let input = |name: &str, shape: &[usize], from: usize| {
        let size: usize = shape.iter().product();
        let values = texts.iter().flat_map(|text| (from..from + size).map(|place| value(text, place))).collect();
        InputRows { name: name.to_string(), shape: shape.to_vec(), values }
    };
    Ok(vec![input("text_embeds", &[3], 12), input("encoder_hidden_states", &[4, 3], 0)])
}

/// Collects, and says which texts were encoded together.
fn all(folder: &Path, plan: &ConditionPlan) -> Result<(ConditionStore, Vec<Vec<String>>), TrainError> {
    let calls = RefCell::new(Vec::new());
    let store = collect(folder, plan, &prompts(plan.prompt_count), &Interrupt::default(), |texts| {
        calls.borrow_mut().push(texts.to_vec());
        encode(texts)
    })?;
    Ok((store, calls.into_inner()))
}

#[test]
fn conditions_come_back_as_they_were_encoded() {
    for dtype in [PairDtype::F32, PairDtype::F16] {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_in(dtype, 95);
        let (store, calls) = all(folder.path(), &plan).unwrap();
        assert_eq!((store.len(), store.is_empty()), (95, false));
        // The empty prompt alone, then always the same twenty together.
        let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 20, 20, 20, 20, 15]);
        assert_eq!((calls[0][0].as_str(), calls[1][0].as_str(), calls[5][14].as_str()), ("", "prompt 0", "prompt 94"));
        let names: Vec<String> = contents(folder.path()).into_iter().map(|(name, _)| name).collect();
        let shards = ["conditions-00000.safetensors", "conditions-00001.safetensors", "conditions-00002.safetensors"];
        assert_eq!(names, [&["COMPLETE.json"], &shards[..], &["unconditional.safetensors"]].concat());

        let ids = [94, 0, 39, 40, 0];
        for store in [store, ConditionStore::open(folder.path(), &plan).unwrap()] {
            let found = store.read(&ids).unwrap();
            let wanted = encode(&ids.map(|id| format!("prompt {id}"))).unwrap();
            let empty = encode(&[String::new()]).unwrap();
            for (found, wanted) in [(found.as_slice(), wanted), (store.unconditional(), empty)] {
                assert_eq!(found.len(), 2);
                for (found, wanted) in found.iter().zip(wanted.iter().rev()) {
                    assert_eq!(
                        (&found.name, &found.shape, found.values.len()),
                        (&wanted.name, &wanted.shape, wanted.values.len())
                    );
                    for (found, wanted) in found.values.iter().zip(&wanted.values) {
                        // Half precision has 11 significant bits.
                        let tolerance = if dtype == PairDtype::F16 { wanted.abs() / 2048.0 } else { 0.0 };
                        assert!((found - wanted).abs() <= tolerance, "{found} {wanted}");
                    }
                }
            }
            assert_eq!(store.read(&[]).unwrap()[0].values, [0.0; 0]);
            assert_eq!(store.read(&[3, 95]).unwrap_err().to_string(), "there is no condition 95, only 95");
        }
    }
}

#[test]
fn the_unconditional_row_is_there_once_and_zeros_where_it_is_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let plan = ConditionPlan { unconditional: Unconditional::Zeros, ..plan(45) };
    let (store, _) = all(folder.path(), &plan).unwrap();
    assert_eq!(store.unconditional()[0].values, [0.0; 12]);
    assert_eq!(store.unconditional()[1].values, [0.0; 3]);
    let bytes: usize = contents(folder.path())
        .iter()
        .filter(|(name, _)| name.ends_with("safetensors"))
        .map(|(_, bytes)| {
            let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            bytes.len() - 8 - header
        })
        .sum();
    assert_eq!(bytes, (45 + 1) * ROW * 4);
}

#[test]
fn a_batch_has_its_prompts_and_as_many_unconditional_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = all(folder.path(), &plan(45)).unwrap();
    let fixed = InputRows { name: "time_ids".to_string(), shape: vec![2], values: vec![32.0, 64.0] };
    let conditions = StoredConditions::new(store, vec![fixed], Vec::new(), &Device::flex());
    let pair = conditions.pick(&[43, 2]).unwrap();
    let texts = ["prompt 43", "prompt 2", "", ""].map(str::to_string);
    for (condition, texts) in [(&pair.conditional, &texts[..2]), (&pair.unconditional, &texts[2..])] {
        let mut wanted: BTreeMap<_, _> = encode(texts).unwrap().into_iter().map(|rows| (rows.name, rows.values)).collect();
        wanted.insert("time_ids".to_string(), vec![32.0, 64.0, 32.0, 64.0]);
        let found = condition.inputs().map(|(name, value)| (name.to_string(), value.to_f32().unwrap()));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), wanted);
    }
}

#[test]
fn only_missing_or_damaged_files_are_made_and_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    all(folder.path(), &plan(95)).unwrap();
    let wanted = contents(folder.path());
    assert!(all(folder.path(), &plan(95)).unwrap().1.is_empty());
    for (name, again) in [("conditions-00001.safetensors", vec![20, 20]), ("unconditional.safetensors", vec![1])] {
        let path = folder.path().join(name);
        for complete in [true, false] {
            for damage in [None, Some(30), Some(460), Some(usize::MAX)] {
                let mut bytes = std::fs::read(&path).unwrap();
                match damage {
                    None => std::fs::remove_file(&path).unwrap(),
                    Some(usize::MAX) => {
                        *bytes.last_mut().unwrap() ^= 1;
                        std::fs::write(&path, bytes).unwrap();
                    }
                    Some(length) => std::fs::write(&path, &bytes[..length]).unwrap(),
                }
                if !complete {
                    std::fs::remove_file(folder.path().join("COMPLETE.json")).unwrap();
                }
                let (_, calls) = all(folder.path(), &plan(95)).unwrap();
                assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), again, "{name}");
                assert!(contents(folder.path()) == wanted);
            }
        }
    }
    // Encoders that make something else now, on conditions that were complete.
    std::fs::remove_file(folder.path().join("conditions-00001.safetensors")).unwrap();
    let error = collect(folder.path(), &plan(95), &prompts(95), &Interrupt::default(), |texts| {
        let mut inputs = encode(texts)?;
        inputs[0].values[0] += 1.0;
        Ok(inputs)
    });
    assert!(error.unwrap_err().to_string().contains("but COMPLETE.json says"));
}

#[test]
fn an_interrupted_collection_continues() {
    let folder = tempfile::tempdir().unwrap();
    let (interrupt, calls) = (Interrupt::default(), Cell::new(0));
    let result = collect(folder.path(), &plan(95), &prompts(95), &interrupt, |texts| {
        calls.set(calls.get() + 1);
        // In the middle of the second shard.
        if calls.get() == 4 {
            interrupt.request();
        }
        encode(texts)
    });
    let sentence = "interrupted in the collection of conditions, 60 of 95 prompts embedded; everything up to there is saved, so run the same command with --resume to continue";
    assert_eq!(result.unwrap_err().to_string(), sentence);
    let error = ConditionStore::open(folder.path(), &plan(95)).unwrap_err().to_string();
    assert!(error.contains("the conditions are not complete"), "{error}");
    let sizes: Vec<usize> = all(folder.path(), &plan(95)).unwrap().1.iter().map(Vec::len).collect();
    assert_eq!(sizes, [20, 20, 15]);
    let whole = tempfile::tempdir().unwrap();
    all(whole.path(), &plan(95)).unwrap();
    assert!(contents(folder.path()) == contents(whole.path()));
}

#[test]
fn conditions_of_something_else_are_refused_by_the_field() {
    let folder = tempfile::tempdir().unwrap();
    all(folder.path(), &plan(45)).unwrap();
    let others: [(&str, ConditionPlan); 7] = [
        ("teacher_sha256", ConditionPlan { teacher_sha256: "cc".to_string(), ..plan(45) }),
        ("prompts_sha256", ConditionPlan { prompts_sha256: "cc".to_string(), ..plan(45) }),
        ("prompt_count", plan(46)),
        ("encoding", ConditionPlan { encoding: "another".to_string(), ..plan(45) }),
        ("unconditional", ConditionPlan { unconditional: Unconditional::Zeros, ..plan(45) }),
        ("dtype", ConditionPlan { dtype: PairDtype::F16, ..plan(45) }),
        ("shard_size", ConditionPlan { shard_bytes: 0, ..plan(45) }),
    ];
    for (wanted, other) in &others {
        for result in [all(folder.path(), other).map(drop), ConditionStore::open(folder.path(), other).map(drop)] {
            match result.unwrap_err() {
                TrainError::StoreMismatch { field, .. } => assert_eq!(&*field, *wanted),
                error => panic!("{wanted}: {error}"),
            }
        }
    }
    let error = all(folder.path(), &others[0].1).unwrap_err().to_string();
    assert!(error.ends_with("unconditional.safetensors have teacher_sha256 = aa, but this run needs cc; give the run another folder, or delete the conditions"), "{error}");
    // A shard of the same prompts by encoders with another width.
    for name in ["unconditional.safetensors", "COMPLETE.json"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let result = collect(folder.path(), &plan(45), &prompts(45), &Interrupt::default(), |texts| {
        Ok(encode(texts)?.into_iter().filter(|input| input.name == "text_embeds").collect())
    });
    assert!(matches!(result, Err(TrainError::StoreMismatch { field, .. }) if &*field == "inputs"));
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let refusal = |dtype, change: fn(usize, &mut Vec<InputRows>)| {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_in(dtype, 45);
        let result = collect(folder.path(), &plan, &prompts(45), &Interrupt::default(), |texts| {
            let mut inputs = encode(texts)?;
            change(texts.len(), &mut inputs);
            Ok(inputs)
        });
        result.unwrap_err().to_string()
    };
    assert_eq!(
        refusal(PairDtype::F16, |count, inputs| if count > 1 {
            inputs[0].values[0] = 1e5
        }),
        "the teacher made text_embeds of prompts 0 to 39 that are not finite in the recipe's prompts.dtype"
    );
    assert_eq!(
        refusal(PairDtype::F32, |_, inputs| inputs[1].values[0] = f32::NAN),
        "the teacher made encoder_hidden_states of the empty prompt that are not finite in the recipe's prompts.dtype"
    );
    assert_eq!(
        refusal(PairDtype::F32, |count, inputs| if count > 1 {
            inputs[0].values.pop().map_or((), drop)
        }),
        "the text encoders returned 59 values for text_embeds of 20 prompts, but 60 are needed"
    );
    assert_eq!(
        refusal(PairDtype::F32, |count, inputs| if count > 1 {
            inputs[0].name = "pooled".to_string()
        }),
        "the text encoders made encoder_hidden_states [4, 3], pooled [3] for the prompts from number 0 on, but encoder_hidden_states [4, 3], text_embeds [3] before"
    );
}

#[test]
fn memory_does_not_grow_with_the_prompts() {
    let held = |count: usize| {
        let folder = tempfile::tempdir().unwrap();
        let plan = ConditionPlan { shard_bytes: 1000 * ROW * 4, ..plan(count) };
        let prompts = prompts(count);
        let work = || {
            let store = collect(folder.path(), &plan, &prompts, &Interrupt::default(), encode).unwrap();
            store.read(&[count - 1, 0, count / 2]).unwrap();
        };
        counting::peak(work).1
    };
    let (few, many) = (held(2_000), held(20_000));
    // A shard, the writer's buffer, and what is known of every shard.
    assert!(many < 3 << 20 && many < few + (64 << 10), "{few} bytes were held for 2,000 prompts, {many} for 20,000");
}
