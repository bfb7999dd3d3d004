//! The guided tour, `docs/tour.md`: every command in it is run against a real node, and every line of output
//! compared.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::{NodeOptions, program};

/// Stands for what differs each time; alone on a line, for any number of lines.
const ANY: &str = "…";

/// A command of the tour and what it says.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    said: Vec<String>,
}

/// The steps in the console blocks of a document.
fn steps(document: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for line in document.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), said: Vec::new() });
                }
                (None, Some(step)) => step.said.push(line.to_owned()),
                (None, None) => panic!("output before any command: {line}"),
            },
        }
    }
    steps
}

/// Whether lines are as expected.
fn fits(expected: &[String], lines: &[&str]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((first, others)), rest) if first == ANY => {
            fits(others, lines) || rest.is_some_and(|(_, rest)| fits(expected, rest))
        }
        (Some(_), None) => false,
        (Some((first, others)), Some((line, rest))) => {
            let parts: Vec<_> = first.split(ANY).collect();
            line_fits(&parts, line) && fits(others, rest)
        }
    }
}

fn line_fits(parts: &[&str], line: &str) -> bool {
    match parts {
        [] => false,
        [whole] => line == *whole,
        [first, middle @ .., last] => {
            let Some(mut rest) = line.strip_prefix(first) else { return false };
            for part in middle {
                let Some(at) = rest.find(part) else { return false };
                rest = &rest[at + part.len()..];
            }
            rest.ends_with(last)
        }
    }
}

#[test]
fn the_tour_is_as_it_is_told() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the project's root")?;
    let steps = steps(&std::fs::read_to_string(root.join("docs/tour.md"))?);
    ensure!(steps.len() > 15, "{} steps", steps.len());
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("node")).start()?;
    let programs = program()?.parent().context("a folder of programs")?.to_owned();
    // Where `.ci/run python` installs the client for Python.
    let python = programs.parent().context("a target folder")?.join("python/env/bin");
    let path = format!("{}:{}:{}", programs.display(), python.display(), std::env::var("PATH")?);
    for Step { command, said } in steps {
        if command.starts_with("python3 ") && !python.join("python3").exists() {
            eprintln!("skipped, since `.ci/run python` did not run: {command}");
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("POLLUX_GRPC", format!("http://{}", node.grpc))
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let lines: Vec<_> = text.lines().collect();
        ensure!(fits(&said, &lines), "$ {command}\n{text}\nand not\n{}", said.join("\n"));
    }
    Ok(())
}

#[test]
fn what_differs_is_told_from_what_does_not() {
    let said = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (expected, lines, fit) in [
        ("a\nb", &["a", "b"][..], true),
        ("a\nb", &["a"], false),
        ("a", &["a", "b"], false),
        ("a …", &["a 1 2"], true),
        ("a … c … d", &["a 1 c 2 d"], true),
        ("a … c", &["b 1 c"], false),
        ("…\nz", &["x", "y", "z"], true),
        ("…\nz", &["z"], true),
        ("…\nz", &["x"], false),
    ] {
        assert_eq!(fits(&said(expected), lines), fit, "{expected:?} {lines:?}");
    }
    let document = "x\n```console\n$ a\nb\n$ c\n```\n$ d\n";
    let step = |command: &str, lines: &[&str]| Step {
        command: command.to_owned(),
        said: lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(steps(document), [step("a", &["b"]), step("c", &[])]);
}
