use std::cell::Cell;
use std::path::Path;

use dmdx_graph::store::{Existing, NewFile};
use dmdx_train::TrainError;
use dmdx_train::data::{PairPlan, PairStore, ShardInputs, collect};
use dmdx_train::recipe::PairDtype;
use dmdx_train::session::Interrupt;

fn plan() -> PairPlan {
    PairPlan {
        teacher_sha256: "aa".to_string(),
        prompts_sha256: "bb".to_string(),
        prompt_count: 60,
        sampler: "euler_trailing".to_string(),
        steps: 25,
        guidance: [2.5, 3.5],
        unconditional: "zeros".to_string(),
        seed: 1,
        dtype: PairDtype::F32,
        latent_shape: vec![4, 2, 2],
        latent_scaling: 0.13025,
        count: 23,
        shard: 10,
    }
}

/// Stands in for the sampler: every value is of its pair's noise, prompt and weight.
fn teacher(inputs: &ShardInputs) -> Result<Vec<f32>, TrainError> {
    let one = |(index, value): (usize, &f32)| value * inputs.guidance[index / 16] + inputs.prompts[index / 16] as f32;
    Ok(inputs.noise.iter().enumerate().map(one).collect())
}

fn all(folder: &Path, plan: &PairPlan) -> Result<(PairStore, u32), TrainError> {
    let calls = Cell::new(0);
    let store = collect(folder, plan, &Interrupt::default(), |inputs| {
        calls.set(calls.get() + 1);
        teacher(inputs)
    })?;
    Ok((store, calls.get()))
}

pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    contents.sort();
    contents
}

#[test]
fn pairs_come_back_as_the_teacher_made_them() {
    for dtype in [PairDtype::F32, PairDtype::F16] {
        let folder = tempfile::tempdir().unwrap();
        let plan = PairPlan { dtype, ..plan() };
        let (store, calls) = all(folder.path(), &plan).unwrap();
        assert_eq!((store.len(), calls, store.latent_shape()), (23, 3, &[4, 2, 2][..]));
        let batch = store.batch(&[22, 0, 9, 10]).unwrap();
        for (place, pair) in [22usize, 0, 9, 10].into_iter().enumerate() {
            let inputs = plan.inputs(pair as u64 / 10);
            let inside = pair % 10;
            let values = inside * 16..(inside + 1) * 16;
            let latents = &teacher(&inputs).unwrap()[values.clone()];
            let slot = place * 16..(place + 1) * 16;
            assert_eq!(batch.noise[slot.clone()], inputs.noise[values]);
            assert_eq!((batch.prompts[place], batch.guidance[place]), (inputs.prompts[inside], inputs.guidance[inside]));
            for (found, wanted) in batch.latents[slot].iter().zip(latents) {
                // Half precision has 11 significant bits.
                let tolerance = if dtype == PairDtype::F16 { wanted.abs() / 2048.0 } else { 0.0 };
                assert!((found - wanted).abs() <= tolerance);
            }
            assert!((2.5..3.5).contains(&batch.guidance[place]) && batch.prompts[place] < 60);
        }
        for wrong in [23, -1, i64::MAX] {
            assert_eq!(store.batch(&[wrong]).unwrap_err().to_string(), format!("there is no pair {wrong}, only 23"));
        }
    }
}

#[test]
fn the_draws_do_not_depend_on_the_shards() {
    let (small, large) = (PairPlan { shard: 1, ..plan() }, PairPlan { shard: 100, ..plan() });
    let whole = large.inputs(0);
    let third = small.inputs(3);
    assert_eq!((whole.count, third.count, third.first), (23, 1, 3));
    assert_eq!(whole.noise[48..64], third.noise);
    assert_eq!((whole.prompts[3], whole.guidance[3]), (third.prompts[0], third.guidance[0]));
}

#[test]
fn only_missing_or_damaged_shards_are_made_and_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    all(folder.path(), &plan()).unwrap();
    let wanted = contents(folder.path());
    assert_eq!(all(folder.path(), &plan()).unwrap().1, 0);
    let shard = folder.path().join("pairs-00001.safetensors");
    for complete in [true, false] {
        for damage in [None, Some(30), Some(700)] {
            match damage {
                None => std::fs::remove_file(&shard).unwrap(),
                Some(length) => std::fs::write(&shard, &std::fs::read(&shard).unwrap()[..length]).unwrap(),
            }
            if !complete {
                std::fs::remove_file(folder.path().join("COMPLETE.json")).unwrap();
            }
            std::mem::forget(NewFile::create(&folder.path().join("pairs-00002.safetensors"), Existing::Replace).unwrap());
            assert_eq!(all(folder.path(), &plan()).unwrap().1, 1);
            assert_eq!(contents(folder.path()), wanted);
        }
    }
}

#[test]
fn an_interrupted_collection_continues() {
    let folder = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::default();
    let error = collect(folder.path(), &plan(), &interrupt, |inputs| {
        interrupt.request();
        teacher(inputs)
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "interrupted in the collection of pairs, 1 of 3 shards done; everything up to there is saved, so run the same command with --resume to continue"
    );
    assert!(PairStore::open(folder.path(), &plan()).unwrap_err().to_string().contains("the pairs are not complete"));
    assert_eq!(all(folder.path(), &plan()).unwrap().1, 2);
    let whole = tempfile::tempdir().unwrap();
    all(whole.path(), &plan()).unwrap();
    assert_eq!(contents(folder.path()), contents(whole.path()));
}

#[test]
fn pairs_of_something_else_are_refused_by_the_field() {
    let folder = tempfile::tempdir().unwrap();
    all(folder.path(), &plan()).unwrap();
    let others: [(&str, PairPlan); 10] = [
        ("teacher_sha256", PairPlan { teacher_sha256: "cc".to_string(), ..plan() }),
        ("prompts_sha256", PairPlan { prompts_sha256: "cc".to_string(), ..plan() }),
        ("steps", PairPlan { steps: 50, ..plan() }),
        ("guidance", PairPlan { guidance: [2.5, 3.0], ..plan() }),
        ("unconditional", PairPlan { unconditional: "the empty prompt".to_string(), ..plan() }),
        ("seed", PairPlan { seed: 2, ..plan() }),
        ("dtype", PairPlan { dtype: PairDtype::F16, ..plan() }),
        ("latent_shape", PairPlan { latent_shape: vec![4, 4, 1], ..plan() }),
        ("latent_scaling", PairPlan { latent_scaling: 0.18215, ..plan() }),
        ("count", PairPlan { count: 24, ..plan() }),
    ];
    for (wanted, other) in &others {
        for result in [all(folder.path(), other).map(drop), PairStore::open(folder.path(), other).map(drop)] {
            match result.unwrap_err() {
                TrainError::StoreMismatch { field, .. } => assert_eq!(&*field, *wanted),
                error => panic!("{wanted}: {error}"),
            }
        }
    }
    std::fs::remove_file(folder.path().join("COMPLETE.json")).unwrap();
    let error = all(folder.path(), &others[2].1).unwrap_err().to_string();
    let sentence =
        "pairs-00000.safetensors have steps = 25, but this run needs 50; give the run another folder, or delete the pairs";
    assert!(error.ends_with(sentence), "{error}");
    // A shard under another shard's name.
    std::fs::copy(folder.path().join("pairs-00000.safetensors"), folder.path().join("pairs-00001.safetensors")).unwrap();
    let error = all(folder.path(), &plan()).unwrap_err().to_string();
    assert!(error.contains("have shard = 0, but this run needs 1"), "{error}");
}

#[test]
fn changed_pairs_do_not_open() {
    let folder = tempfile::tempdir().unwrap();
    all(folder.path(), &plan()).unwrap();
    let path = folder.path().join("pairs-00002.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = PairStore::open(folder.path(), &plan()).unwrap_err().to_string();
    assert!(
        error.ends_with("pairs-00002.safetensors is damaged: its contents do not have the hash that was written with them"),
        "{error}"
    );
    // A teacher that draws something else now, on a folder that was complete.
    let error = collect(folder.path(), &plan(), &Interrupt::default(), |inputs| Ok(vec![0.0; inputs.noise.len()])).unwrap_err();
    assert!(error.to_string().contains("but COMPLETE.json says"), "{error}");
    std::fs::write(folder.path().join("COMPLETE.json"), "{").unwrap();
    assert!(all(folder.path(), &plan()).unwrap_err().to_string().contains("does not list the shards"));
}

#[test]
fn latents_that_cannot_be_stored_are_refused() {
    let with = |dtype, value: f32, more: usize| {
        let folder = tempfile::tempdir().unwrap();
        let result = collect(folder.path(), &PairPlan { dtype, ..plan() }, &Interrupt::default(), |inputs| {
            Ok(vec![value; inputs.noise.len() + more])
        });
        assert_eq!(contents(folder.path()).len(), 0);
        result.unwrap_err().to_string()
    };
    let sentence = "the teacher made latents in shard 0 that are not finite in the recipe's pairs.dtype";
    assert_eq!(with(PairDtype::F32, f32::NAN, 0), sentence);
    assert_eq!(with(PairDtype::F16, 1e5, 0), sentence);
    assert_eq!(with(PairDtype::F32, 0.0, 1), "the teacher's sampler returned 161 values for 10 pairs, but 160 are needed");
}
