//! `pollux device import`: very many devices from a file of JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use pollux_proto::{convert, v1};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::args::{ImportArgs, Output};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::limits::{IMPORT_AHEAD, IMPORT_SHOWN_MAX};
use crate::print;

/// A line that no device was made of, and why.
struct Bad {
    line: u64,
    message: String,
}

/// A line of the file as a device to register.
type Line = Result<v1::ImportDevicesRequest, Bad>;

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: ImportArgs) -> Result<(), Failure> {
    let whole = match args.all_or_nothing {
        true => Some(check_all(&args.file)?),
        false => None,
    };
    let client = Client::connect(&args.client).await?;
    let (lines, bad) = (read(&args.file)?, mpsc::channel(IMPORT_AHEAD));
    let (sender, devices) = mpsc::channel(IMPORT_AHEAD);
    let (bad_sender, mut bad_lines) = bad;
    let reading = tokio::task::spawn_blocking(move || {
        for line in lines {
            let gone = match line? {
                Ok(device) => sender.blocking_send(device).is_err(),
                Err(bad) => bad_sender.blocking_send(bad).is_err(),
            };
            if gone {
                break;
            }
        }
        io::Result::Ok(())
    });
    // No time limit: an import ends when all is done.
    let mut answers = client.calls().devices().import(ReceiverStream::new(devices)).await?;
    let mut sum = Sum { whole, ..Sum::default() };
    loop {
        tokio::select! {
            biased;
            Some(bad) = bad_lines.recv() => sum.refuse(bad.line, bad.message),
            answer = answers.message() => {
                let Some(answer) = answer? else { break };
                sum.registered = answer.registered;
                for refused in answer.refused {
                    sum.refuse(refused.line, refused.message);
                }
                print::status(&sum.progress());
            }
        }
    }
    print::status_end();
    while let Some(bad) = bad_lines.recv().await {
        sum.refuse(bad.line, bad.message);
    }
    let read = reading.await.map_err(|error| Failure::new(Exit::Failed, error))?;
    read.map_err(|error| unreadable(&args.file, &error))?;
    sum.tell(output)
}

/// How an import went.
#[derive(Default)]
struct Sum {
    /// Lines of the file, if they were counted.
    whole: Option<u64>,
    registered: u64,
    refused: u64,
    /// The first of them.
    shown: Vec<Bad>,
}

impl Sum {
    fn refuse(&mut self, line: u64, message: String) {
        self.refused += 1;
        if self.shown.len() < IMPORT_SHOWN_MAX {
            self.shown.push(Bad { line, message });
        }
    }

    fn progress(&self) -> String {
        let of = self.whole.map_or(String::new(), |whole| format!(" of {whole}"));
        format!("{}{of} devices registered, {} refused", self.registered, self.refused)
    }

    fn tell(mut self, output: Output) -> Result<(), Failure> {
        self.shown.sort_by_key(|bad| bad.line);
        let refused: Vec<_> = self
            .shown
            .iter()
            .map(|bad| json!({"line": bad.line, "message": bad.message}))
            .collect();
        let mut lines: Vec<String> =
            self.shown.iter().map(|bad| format!("line {}: {}", bad.line, bad.message)).collect();
        let more = self.refused - self.shown.len() as u64;
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines.push(format!("{} devices registered, {} refused", self.registered, self.refused));
        let json = json!({
            "registered": self.registered, "refused": self.refused, "refusals": refused,
        });
        print::result(output, &lines.join("\n"), &json)?;
        if self.refused > 0 {
            let message = format!("{} lines were refused; the others are done", self.refused);
            return Err(Failure::new(Exit::Refused, message).next(
                "mend those lines and import the file again: what is registered stays as it is",
            ));
        }
        Ok(())
    }
}

/// Looks at every line before any is sent; gives their number.
fn check_all(file: &Path) -> Result<u64, Failure> {
    if is_stdin(file) {
        let message = "--all-or-nothing reads the file twice, which standard input does not allow";
        return Err(Failure::new(Exit::Usage, message).next("write it to a file first"));
    }
    let (mut devices, mut sum) = (0, Sum::default());
    for line in read(file)? {
        match line.map_err(|error| unreadable(file, &error))? {
            Ok(_) => devices += 1,
            Err(bad) => sum.refuse(bad.line, bad.message),
        }
    }
    if sum.refused == 0 {
        return Ok(devices);
    }
    for bad in &sum.shown {
        print::note(&format!("line {}: {}", bad.line, bad.message));
    }
    let message = format!("{} lines are bad; nothing was registered", sum.refused);
    Err(Failure::new(Exit::Refused, message)
        .next("mend them, or register the others without --all-or-nothing"))
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("read {}: {error}", file.display()))
        .next("name a file of JSON lines, or - for standard input")
}

/// The devices of a file, line by line; empty lines are none.
fn read(file: &Path) -> Result<impl Iterator<Item = io::Result<Line>> + Send + use<>, Failure> {
    let input: Box<dyn BufRead + Send> = match is_stdin(file) {
        true => Box::new(BufReader::new(io::stdin())),
        false => {
            let open = File::open(file).map_err(|error| unreadable(file, &error))?;
            Box::new(BufReader::new(open))
        }
    };
    let numbered = input.lines().zip(1..);
    Ok(numbered.filter_map(|(text, line)| match text {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => {
            let device = convert::device_line(text.as_bytes());
            let one = device.map(|device| v1::ImportDevicesRequest { line, device: Some(device) });
            Some(Ok(one.map_err(|message| Bad { line, message })))
        }
        Err(error) => Some(Err(error)),
    }))
}
