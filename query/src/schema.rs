//! What a type of devices asks, as JSON Schemas: compiled once, asked by the owner when it decides. Owns the form
//! of a type, and what its schemas may be, so that none looks anywhere else or goes on for ever; validating is
//! the library's.

mod error;
mod shape;

use std::collections::BTreeMap;

use jsonschema::{PatternOptions, Validator};
use pollux_twin::types::{Broken, DeviceType, Part};
use pollux_twin::{JsonLimits, Value};
use serde_json::{Map, Number};

pub use self::error::SchemaError;
use crate::limits::{PATTERN_BYTES_MAX, SCHEMAS_BYTES_MAX, SCHEMAS_DEPTH_MAX, TYPE_COMMANDS_MAX};

type Json = serde_json::Value;

/// The name under which a type says what commands of all other names are sent with.
const OTHERS: &str = "*";

/// What one version of a type asks.
#[derive(Debug)]
pub struct Schemas {
    desired: Option<Validator>,
    reported: Option<Validator>,
    telemetry: Option<Validator>,
    /// What commands are sent with, by their names; nothing where the type says nothing of commands.
    commands: Option<BTreeMap<String, Validator>>,
}

impl Schemas {
    /// Reads and compiles `{"desired": SCHEMA, "reported": SCHEMA, "telemetry": SCHEMA, "commands": {NAME: SCHEMA}}`,
    /// all of which may be left out.
    ///
    /// # Errors
    /// Says where it is wrong and what would be right.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let limits = JsonLimits { bytes_max: SCHEMAS_BYTES_MAX, depth_max: SCHEMAS_DEPTH_MAX };
        let read = Value::from_json(text, &limits);
        let read = read.map_err(|error| SchemaError::of("", error))?;
        let Value::Object(members) = read else {
            return Err(SchemaError::of("", "a type is an object"));
        };
        let mut schemas = Self { desired: None, reported: None, telemetry: None, commands: None };
        let mut patterns = 0;
        for (name, asked) in &members {
            let mut part = || compile(&[name], asked, &mut patterns).map(Some);
            match name.as_str() {
                "desired" => schemas.desired = part()?,
                "reported" => schemas.reported = part()?,
                "telemetry" => schemas.telemetry = part()?,
                "commands" => schemas.commands = Some(commands(asked, &mut patterns)?),
                other => {
                    let wrong = format!(
                        "a type has no {other:?}; it has desired, reported, telemetry and commands"
                    );
                    return Err(SchemaError::of("", wrong));
                }
            }
        }
        Ok(schemas)
    }

    fn of(&self, part: Part<'_>) -> Option<&Validator> {
        match part {
            Part::Desired => self.desired.as_ref(),
            Part::Reported => self.reported.as_ref(),
            Part::Telemetry => self.telemetry.as_ref(),
            Part::Command(name) => {
                let commands = self.commands.as_ref()?;
                commands.get(name).or_else(|| commands.get(OTHERS))
            }
        }
    }
}

impl DeviceType for Schemas {
    fn asks(&self, part: Part<'_>) -> bool {
        match part {
            Part::Command(_) => self.commands.is_some(),
            part => self.of(part).is_some(),
        }
    }

    fn check(&self, part: Part<'_>, value: &Value) -> Result<(), Broken> {
        let Some(validator) = self.of(part) else {
            let Some(commands) = &self.commands else { return Ok(()) };
            let names: Vec<_> = commands.keys().map(String::as_str).collect();
            let wrong = match names.is_empty() {
                true => "the type has no commands".to_owned(),
                false => format!("the type has no such command; it has {}", names.join(", ")),
            };
            return Err(Broken { at: String::new(), wrong });
        };
        let value = json(value);
        // The quick question first: most values are as they should be.
        if validator.is_valid(&value) {
            return Ok(());
        }
        let Err(error) = validator.validate(&value) else { return Ok(()) };
        // What the value is stays where it came from.
        let (at, wrong) = (error.instance_path().as_str().to_owned(), error.masked().to_string());
        Err(Broken { at, wrong: error::lower(&wrong) })
    }
}

fn commands(
    asked: &Value,
    patterns: &mut usize,
) -> Result<BTreeMap<String, Validator>, SchemaError> {
    let Value::Object(members) = asked else {
        return Err(SchemaError::of("/commands", "takes an object: a schema for each name"));
    };
    if members.len() > TYPE_COMMANDS_MAX {
        let wrong = format!("at most {TYPE_COMMANDS_MAX} commands may be named");
        return Err(SchemaError::of("/commands", wrong));
    }
    let one = |(name, asked): (&String, &Value)| {
        Ok((name.clone(), compile(&["commands", name], asked, patterns)?))
    };
    members.iter().map(one).collect()
}

fn compile(place: &[&str], asked: &Value, patterns: &mut usize) -> Result<Validator, SchemaError> {
    let schema = json(asked);
    let within = |error: SchemaError| error.within(place);
    shape::check(&schema, patterns).map_err(within)?;
    let patterns =
        PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let built = jsonschema::options().offline().with_pattern_options(patterns).build(&schema);
    built.map_err(|error| within(SchemaError::of(error.instance_path().as_str(), &error)))
}

/// A value in the library's words.
fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(is) => Json::Bool(*is),
        Value::Int(int) => Json::from(*int),
        Value::Uint(uint) => Json::from(*uint),
        Value::Float(float) => Number::from_f64(*float).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.clone()),
        Value::Array(items) => Json::Array(items.iter().map(json).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (name.clone(), json(value));
            Json::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
    }
}
