use std::path::Path;

use clap::{CommandFactory, Parser, error::ErrorKind};
use dmdx_importer::source::SourceOptions;
use dmdx_train::cli::{Cli, Command};

fn parse(words: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("dmdx-train").chain(words.split_whitespace()))
}

#[test]
fn a_recipe_is_trained_and_commands_are_commands() {
    Cli::command().debug_assert();
    let train = parse("recipe.toml --out run --resume --set adp.batch=4 --set run.seed=1").unwrap().train.unwrap();
    assert_eq!(
        (train.recipe.as_path(), train.out.as_deref(), train.resume),
        (Path::new("recipe.toml"), Some(Path::new("run")), true)
    );
    assert_eq!(train.set, ["adp.batch=4", "run.seed=1"]);
    assert!(matches!(parse("check unet --io io.safetensors").unwrap().command, Some(Command::Check { tolerance: 1e-4, .. })));
    let replay = parse("replay trace.safetensors --tolerance 0.5").unwrap();
    assert!(replay.train.is_none());
    assert!(matches!(replay.command, Some(Command::Replay { tolerance: 0.5, .. })));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for words in ["", "--resume", "recipe.toml other.toml", "recipe.toml --fast", "check unet", "replay", "recipe.toml --set"] {
        let error = parse(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words}");
    }
    assert_eq!(parse("--help").unwrap_err().kind(), ErrorKind::DisplayHelp);
}

#[test]
fn every_command_that_reads_a_checkpoint_has_the_same_options() {
    for name in ["check", "sample"] {
        let mut all = Cli::command();
        let command = all.find_subcommand_mut(name).unwrap();
        for option in SourceOptions::names() {
            assert!(command.get_arguments().any(|argument| argument.get_long() == Some(&option)), "{name} lacks --{option}");
        }
    }
}
