//! Functions.

use std::borrow::Cow;

use super::{Eval, Fault, Result, weight};
use crate::expr::{Expr, Function};
use crate::text;
use crate::value::Val;

impl<'i: 'a, 'a> Eval<'_, 'i, 'a> {
    /// The compiler has counted the arguments.
    pub(super) fn call(&mut self, function: Function, arguments: &'a [Expr]) -> Result<Val<'a>> {
        let [first, rest @ ..] = arguments else { return Err(Fault::Nothing) };
        let first = self.value(first)?;
        self.spend(weight(&first))?;
        let Some(second) = rest.first() else {
            return convert(function, first).ok_or(Fault::Nothing);
        };
        let second = self.value(second)?;
        let (Val::Str(text), Val::Str(part)) = (first, second) else { return Err(Fault::Nothing) };
        Ok(Val::Bool(match function {
            Function::Contains => text.contains(&*part),
            Function::StartsWith => text.starts_with(&*part),
            Function::EndsWith => text.ends_with(&*part),
            _ => return Err(Fault::Nothing),
        }))
    }
}

fn convert(function: Function, of: Val<'_>) -> Option<Val<'_>> {
    Some(match (function, of) {
        (Function::Size, Val::Str(text)) => size(text.chars().count()),
        (Function::Size, Val::Array(array)) => size(array.len()),
        (Function::Size, Val::Object(object)) => size(object.len()),
        (Function::Size, Val::List(list)) => size(list.len()),
        (Function::LowerAscii, Val::Str(text)) => Val::Str(Cow::Owned(text.to_ascii_lowercase())),
        (Function::UpperAscii, Val::Str(text)) => Val::Str(Cow::Owned(text.to_ascii_uppercase())),
        (Function::Int, of) => int(&of)?,
        (Function::Double, of) => Val::Double(double(&of)?),
        (Function::String, of) => Val::Str(string(of)?),
        (Function::Timestamp, Val::Str(text)) => Val::Time(text::parse_time(&text)?),
        (Function::Timestamp, Val::Int(seconds)) => Val::Time(seconds.checked_mul(1_000)?),
        (Function::Timestamp, Val::Time(ms)) => Val::Time(ms),
        (Function::Duration, Val::Str(text)) => Val::Duration(text::parse_duration(&text)?),
        (Function::Duration, Val::Duration(ms)) => Val::Duration(ms),
        _ => return None,
    })
}

fn size<'a>(count: usize) -> Val<'a> {
    Val::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A whole number; what stands behind a point is cut off.
fn int<'a>(of: &Val<'_>) -> Option<Val<'a>> {
    /// The first double that no integer reaches.
    const END: f64 = 9_223_372_036_854_775_808.0;
    match of {
        Val::Int(int) => Some(Val::Int(*int)),
        #[expect(clippy::cast_possible_truncation, reason = "bounded in the same line")]
        Val::Double(double) => {
            (-END <= *double && *double < END).then_some(Val::Int(*double as i64))
        }
        Val::Str(text) => text.parse().ok().map(Val::Int),
        Val::Time(ms) => Some(Val::Int(ms.div_euclid(1_000))),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "that is what a double is")]
pub(super) fn double(of: &Val<'_>) -> Option<f64> {
    match of {
        Val::Int(int) => Some(*int as f64),
        Val::Uint(uint) => Some(*uint as f64),
        Val::Double(double) => Some(*double),
        Val::Str(text) => text.parse().ok().filter(|double: &f64| double.is_finite()),
        _ => None,
    }
}

fn string(of: Val<'_>) -> Option<Cow<'_, str>> {
    Some(match of {
        Val::Str(text) => text,
        Val::Bool(is) => is.to_string().into(),
        Val::Int(int) => int.to_string().into(),
        Val::Uint(uint) => uint.to_string().into(),
        Val::Double(double) => double.to_string().into(),
        Val::Time(ms) => text::time(ms).into(),
        Val::Duration(ms) => text::duration(ms).into(),
        _ => return None,
    })
}
