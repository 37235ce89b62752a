//! The golden numbers of distillation.md, sections 2.2 and 9: exact quantities that an implementation has or has not.
//!
//! | item | what | held by |
//! |---|---|---|
//! | 1 | schedules | `schedules`; diffusers' own tables and lists: `../diffusion.rs`, `runtime/tests/process.rs`; its double shift as a negative: `the_double_shift` in `runtime/tests/scheduler_refusals.rs` |
//! | 2 | conversions | `true_outputs_stay_on_the_path` in `runtime/tests/process.rs`, `every_parameterisation_is_the_same_path` in `../diffusion.rs`; there and back: `schedules` |
//! | 3 | guidance | `parameterisations::guidance_is_the_same_in_every_space` |
//! | 4 | one network as eps, v and flow | `parameterisations` |
//! | 5 | DMD's gradient | `gradients::distribution_matching_*` |
//! | 6 | ADM's gradient | `gradients::adversarial_matching_*` |
//! | 7 | the hinge, and a generator loss without limit | `../losses.rs` |
//! | 8 | both signs of equation 9 | `gradients::a_step_raises_both_discriminators` |
//! | 9 | cubic times | `gradients::times_are_cubic` |
//! | 10 | counters of two time scales | `../declared_roles.rs`: four updates of the fake score to one of generator and heads |
//! | 11 | rollout | `rollout` |
//! | 12 | AdamW without a first moment | `optimizer` |
//! | 13 | heads of the released teachers | `discriminator::tests` of the library |
//! | 14 | scores of pictures and videos | not here: they belong to the scorers (`runtime/src/score`) |
//! | 15 | one step from 399 | `schedules::one_step_is_told_399` |
//! | 16 | the exported student | `../networks.rs` (`draws_as_its_bundle_does`) and `../whole_road.rs`; every export measures its own error |
//! | 17 | resume | `../trainer/resume.rs`, `../whole_road.rs` |
#![allow(clippy::unwrap_used)]

#[path = "../../examples/toy2d/expressed.rs"]
mod expressed;
mod gradients;
#[path = "../../examples/toy2d/mixture.rs"]
#[allow(dead_code)]
mod mixture;
#[path = "../../examples/toy2d/networks.rs"]
#[allow(dead_code)]
mod networks;
mod optimizer;
mod parameterisations;
mod plane;
mod rollout;
mod schedules;
