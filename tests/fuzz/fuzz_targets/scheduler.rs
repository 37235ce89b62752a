#![no_main]

use dmdx_fuzz::sound;
use dmdx_runtime::Tensor;
use dmdx_runtime::scheduler::Scheduler;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(mut scheduler) = sound(Scheduler::from_json(text)) else { return };
    if sound(scheduler.set_timesteps(3, None)).is_none() {
        return;
    }
    let Ok(sample) = Tensor::f32(vec![1, 2], vec![0.5, -0.25]) else { return };
    for time in scheduler.timesteps().to_vec() {
        if sound(scheduler.step(&sample, time, &sample, Some(&sample))).is_none() {
            return;
        }
    }
});
