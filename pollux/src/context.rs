//! Contexts: how clusters are reached, by name, in a file of the user's. Owns that file, and what a command is
//! told of the way to a node once flags, variables and the context in use are put together.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::{ClientFlags, ContextCommand, GRPC, Output, SetContextArgs};
use crate::exit::{Exit, Failure};
use crate::limits::{CONTEXT_NAME_MAX, CONTEXTS_MAX};
use crate::print;

/// All that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    /// The one that is reached unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// How a cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    grpc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grpc_ca: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
}

/// Carries out a verb.
pub(crate) fn run(output: Output, command: ContextCommand) -> Result<(), Failure> {
    let path = path();
    let mut all = Contexts::read(&path)?;
    let (text, json) = match command {
        ContextCommand::List => {
            let json = json!({"current": all.current, "contexts": all.contexts});
            return print::result(output, &all.lines(), &json);
        }
        ContextCommand::Set(args) => all.set(args)?,
        ContextCommand::Use { name } => {
            all.one(&name)?;
            all.current = Some(name.clone());
            (format!("{name} is reached from now on"), json!({"current": name}))
        }
        ContextCommand::Leave => {
            all.current = None;
            (format!("{GRPC} is reached from now on"), json!({"current": null}))
        }
        ContextCommand::Remove { name } => {
            all.one(&name)?;
            all.contexts.remove(&name);
            all.current = all.current.filter(|current| *current != name);
            (format!("{name} is forgotten"), json!({"removed": name}))
        }
    };
    all.write(&path)?;
    print::result(output, &text, &json)
}

/// How a node is reached: what the command line and variables say, then what the context says. Who names another
/// node than the context does is not known to it: neither its CA nor its token goes there.
pub(crate) fn way(flags: &ClientFlags) -> Result<Way, Failure> {
    let said = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    // A variable that is empty is one that is not set.
    let unset = std::env::var_os("POLLUX_GRPC").is_some_and(|url| url.is_empty());
    let grpc = flags.grpc.clone().filter(|grpc| !(grpc.is_empty() && unset));
    let named = flags.context.clone().filter(|name| !name.is_empty());
    if let (Some(_), Some(name)) = (&grpc, &named) {
        return Err(Failure::new(
            Exit::Usage,
            format!("--grpc, and --context {name} with another"),
        )
        .next("name one of them (POLLUX_GRPC and POLLUX_CONTEXT say the same)"));
    }
    let context = match &grpc {
        Some(grpc) => Context { grpc: grpc.clone(), ..Context::default() },
        None => {
            let all = Contexts::read(&path())?;
            match named.or_else(|| all.current.clone()) {
                Some(name) => all.one(&name)?.clone(),
                None => Context { grpc: GRPC.to_owned(), ..Context::default() },
            }
        }
    };
    let token = flags.token.clone().filter(|token| !token.is_empty());
    let token_file =
        said(&flags.token_file).or_else(|| context.token_file.filter(|_| token.is_none()));
    Ok(Way {
        grpc: context.grpc,
        grpc_ca: said(&flags.grpc_ca).or(context.grpc_ca),
        token,
        token_file,
    })
}

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) grpc: String,
    pub(crate) grpc_ca: Option<PathBuf>,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
}

impl Contexts {
    fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("{}: {error}", path.display()))
                .next("mend that file, or remove it and set the contexts anew")
        };
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| wrong(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(&error)),
        }
    }

    /// Writes it so that a reader sees all of it or what was there before.
    fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).expect("names and texts are TOML");
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let written = fs::create_dir_all(folder).and_then(|()| {
            let next = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::File::create(&next)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(next, path)
        });
        written.map_err(|error| {
            Failure::new(Exit::Failed, format!("write {}: {error}", path.display()))
        })
    }

    fn one(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is no context {name:?}"))
                .next("see which there are with `pollux context list`")
        })
    }

    fn set(&mut self, args: SetContextArgs) -> Result<(String, serde_json::Value), Failure> {
        let SetContextArgs { name, grpc, grpc_ca, token_file, and_use } = args;
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > CONTEXT_NAME_MAX || !name.bytes().all(usable) {
            let right = "takes letters, digits, dots, underscores and hyphens";
            let text = format!("name {name:?}: {right}, at most {CONTEXT_NAME_MAX}");
            return Err(Failure::new(Exit::Usage, text));
        }
        if self.contexts.len() >= CONTEXTS_MAX && !self.contexts.contains_key(&name) {
            let text = format!("there are {CONTEXTS_MAX} contexts already");
            return Err(Failure::new(Exit::Usage, text).next("remove one that nobody needs"));
        }
        let before = self.contexts.get(&name);
        let grpc = grpc.or_else(|| before.map(|before| before.grpc.clone())).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{name} is new: where is a node of it?"))
                .next("say it with --grpc https://node.example:4434")
        })?;
        let context = Context {
            grpc,
            grpc_ca: file(grpc_ca, before.and_then(|before| before.grpc_ca.clone()))?,
            token_file: file(token_file, before.and_then(|before| before.token_file.clone()))?,
        };
        let json = json!({"name": name, "context": context, "current": and_use});
        self.contexts.insert(name.clone(), context);
        let text = match and_use {
            true => format!("{name} is remembered, and reached from now on"),
            false => format!("{name} is remembered: `pollux context use {name}` reaches it"),
        };
        if and_use {
            self.current = Some(name);
        }
        Ok((text, json))
    }

    fn lines(&self) -> String {
        if self.contexts.is_empty() {
            return "no contexts; set one with `pollux context set NAME --grpc URL`".to_owned();
        }
        let width = self.contexts.keys().map(String::len).max().unwrap_or(0);
        let line = |(name, context): (&String, &Context)| {
            let mark = if self.current.as_ref() == Some(name) { '*' } else { ' ' };
            let token = context.token_file.as_ref().map(|path| path.display().to_string());
            let line =
                format!("{mark} {name:<width$}  {}  {}", context.grpc, token.unwrap_or_default());
            line.trim_end().to_owned()
        };
        self.contexts.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// The file that was named, from wherever a command runs later; an empty name takes it away.
fn file(named: Option<PathBuf>, before: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    match named {
        None => Ok(before),
        Some(path) if path.as_os_str().is_empty() => Ok(None),
        Some(path) => fs::canonicalize(&path)
            .map(Some)
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display()))),
    }
}

/// Where contexts are kept.
fn path() -> PathBuf {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    // Whoever has no home has no contexts, and gets along without.
    folder.unwrap_or_else(|| PathBuf::from(".config")).join("pollux").join("contexts.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &mut Contexts, name: &str, grpc: Option<&str>) -> Result<String, Failure> {
        let args = SetContextArgs {
            name: name.to_owned(),
            grpc: grpc.map(str::to_owned),
            grpc_ca: None,
            token_file: None,
            and_use: false,
        };
        all.set(args).map(|(text, _)| text)
    }

    #[test]
    fn what_is_remembered_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pollux/contexts.toml");
        let mut all = Contexts::read(&path).unwrap();
        assert_eq!(all, Contexts::default());
        set(&mut all, "plant", Some("https://node.example:4434")).unwrap();
        all.current = Some("plant".into());
        all.write(&path).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), all);
        assert_eq!(all.lines(), "* plant  https://node.example:4434");
        fs::write(&path, "current = 3").unwrap();
        let failure = Contexts::read(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn what_makes_no_context_is_refused() {
        let mut all = Contexts::default();
        for name in ["", "a b", "ä", &"x".repeat(CONTEXT_NAME_MAX + 1)] {
            assert!(set(&mut all, name, Some("http://a:1")).is_err(), "{name}");
        }
        let new = set(&mut all, "plant", None).unwrap_err();
        assert!(new.message.contains("where is a node"), "{new:?}");
        set(&mut all, "plant", Some("http://a:1")).unwrap();
        set(&mut all, "plant", None).unwrap();
        assert_eq!(all.one("plant").unwrap().grpc, "http://a:1", "it stays as it was");
        assert!(all.one("other").is_err());
    }

    #[test]
    fn a_named_node_gets_nothing_of_a_context() {
        let flags = ClientFlags {
            context: None,
            grpc: Some("http://elsewhere:1".into()),
            grpc_ca: None,
            token: Some("t".into()),
            token_file: None,
            timeout: std::time::Duration::from_secs(1),
        };
        let found = way(&flags).unwrap();
        assert_eq!(
            (found.grpc.as_str(), found.token.as_deref()),
            ("http://elsewhere:1", Some("t"))
        );
        assert_eq!((found.grpc_ca, found.token_file), (None, None));
        let both = ClientFlags { context: Some("plant".into()), ..flags };
        assert!(way(&both).unwrap_err().message.contains("--context plant"));
    }
}
