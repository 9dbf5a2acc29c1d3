//! The example of `docs/jerasure-cli.md` is run, and must print what it says.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sandbox::Sandbox;

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/jerasure-cli.md");
    fs::read_to_string(page).unwrap()
}

/// The lines between a fence that opens with this and its end.
fn block(page: &str, fence: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("```{fence}\n"))
        .expect("the page has the block");
    rest.split_once("```")
        .expect("the block ends")
        .0
        .to_string()
}

#[test]
fn the_example_prints_what_it_says() {
    let example = block(&page(), "console");
    let sandbox = Sandbox::with("report.pdf", 10_000_000);
    let folder = Path::new(env!("CARGO_BIN_EXE_jerasure")).parent().unwrap();
    let mut path = folder.as_os_str().to_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let mut printed = String::new();
    for line in example.lines().filter(|line| line.starts_with("$ ")) {
        printed += &format!("{line}\n");
        // This program is the installed one.
        if line.contains("cargo install") {
            continue;
        }
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{} 2>&1", &line[2..])])
            .env("PATH", &path);
        let output = shell.current_dir(sandbox.path("")).output().unwrap();
        printed += &String::from_utf8(output.stdout).unwrap();
    }
    assert_eq!(printed, example);
}

#[test]
fn the_metadata_shown_is_the_examples() {
    let shown = block(&page(), "text");
    let values: String = shown
        .lines()
        .map(|line| format!("{}\n", line.split("  ").next().unwrap()))
        .collect();
    let sandbox = Sandbox::with("report.pdf", 10_000_000);
    sandbox.succeed("encode report.pdf -k 4 -m 2");
    assert_eq!(
        String::from_utf8(sandbox.read("Coding/report_meta.txt")).unwrap(),
        values
    );
}

#[test]
fn help_names_every_command() {
    let sandbox = Sandbox::new();
    let help = sandbox.succeed("--help");
    for command in ["encode", "decode", "verify", "repair", "matrix", "bench"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        assert!(
            sandbox
                .succeed(&format!("{command} --help"))
                .contains("Usage: jerasure")
        );
        assert!(
            page().contains(&format!("| `{command}")),
            "{command} is not documented"
        );
    }
}
