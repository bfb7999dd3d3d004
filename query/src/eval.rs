//! Evaluation: a compiled expression on one twin, in a bounded number of steps.
//!
//! What is not there, or of a kind that an operation does not take, is a fault; `&&` and `||` put a
//! fault aside where the other side decides, as CEL has it.

mod call;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use crate::expr::{Arithmetic, Comparison, Expr, Loop, Root};
use crate::limits::{STEP_BYTES, STEPS_MAX};
use crate::subject::Subject;
use crate::value::Val;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What it asks for is not there, or of another kind, or has no result.
    Nothing,
    /// It takes too many steps.
    TooCostly,
}

type Result<T> = std::result::Result<T, Fault>;

/// One evaluation.
pub(crate) struct Eval<'s, 'i, 'a> {
    subject: &'s Subject<'i>,
    /// Variables of the loops that it is in.
    locals: Vec<Val<'a>>,
    steps_left: u32,
}

impl<'s, 'i: 'a, 'a> Eval<'s, 'i, 'a> {
    pub(crate) const fn new(subject: &'s Subject<'i>) -> Self {
        Self { subject, locals: Vec::new(), steps_left: STEPS_MAX }
    }

    fn spend(&mut self, steps: usize) -> Result<()> {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Fault::TooCostly)?;
        Ok(())
    }

    /// The value of an expression.
    pub(crate) fn value(&mut self, expr: &'a Expr) -> Result<Val<'a>> {
        self.spend(1)?;
        Ok(match expr {
            Expr::Const(constant) => constant.into(),
            Expr::Path(root, path) => self.path(*root, path).ok_or(Fault::Nothing)?,
            Expr::Local(at) => self.locals[*at].clone(),
            Expr::Select(from, name) => self.value(from)?.member(name).ok_or(Fault::Nothing)?,
            Expr::Index(from, at) => {
                let (from, at) = (self.value(from)?, self.value(at)?);
                index(&from, &at).ok_or(Fault::Nothing)?
            }
            Expr::Has(of) => match self.value(of) {
                Err(Fault::Nothing) => Val::Bool(false),
                other => other.map(|_| Val::Bool(true))?,
            },
            Expr::Not(of) => Val::Bool(!self.bool(of)?),
            Expr::Negate(of) => match self.value(of)? {
                Val::Int(int) => Val::Int(int.checked_neg().ok_or(Fault::Nothing)?),
                Val::Double(double) => Val::Double(-double),
                Val::Duration(ms) => Val::Duration(-ms),
                _ => return Err(Fault::Nothing),
            },
            Expr::And(a, b) => self.decided_by(false, a, b)?,
            Expr::Or(a, b) => self.decided_by(true, a, b)?,
            Expr::If(parts) => {
                let [condition, yes, no] = &**parts;
                let branch = if self.bool(condition)? { yes } else { no };
                self.value(branch)?
            }
            Expr::Compare(comparison, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                Val::Bool(self.compares(*comparison, &a, &b)?)
            }
            Expr::In(item, list) => {
                let (item, list) = (self.value(item)?, self.value(list)?);
                Val::Bool(self.is_in(&item, &list)?)
            }
            Expr::Arithmetic(operation, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                self.arithmetic(*operation, a, b)?
            }
            Expr::List(items) => {
                let items = items.iter().map(|item| self.value(item));
                Val::List(Rc::new(items.collect::<Result<_>>()?))
            }
            Expr::Call(function, arguments) => self.call(*function, arguments)?,
            Expr::Matches(text, pattern) => {
                let text = self.text(text)?;
                self.spend(text.len() / STEP_BYTES)?;
                Val::Bool(pattern.0.is_match(&text))
            }
            Expr::Holds(of) => match self.value(of) {
                Err(Fault::TooCostly) => return Err(Fault::TooCostly),
                value => Val::Bool(matches!(value, Ok(Val::Bool(true)))),
            },
            Expr::NotStrictlyFalse(of) => match self.value(of) {
                Err(Fault::TooCostly) => return Err(Fault::TooCostly),
                value => Val::Bool(!matches!(value, Ok(Val::Bool(false)))),
            },
            Expr::Loop(of) => self.go_round(of)?,
        })
    }

    fn path(&self, root: Root, path: &'a [Box<str>]) -> Option<Val<'a>> {
        let (mut value, rest) = match (root, path) {
            (Root::Telemetry, [name, rest @ ..]) => (self.subject.telemetry(name)?, rest),
            (root, path) => (self.subject.root(root)?, path),
        };
        for name in rest {
            value = value.member(name)?;
        }
        Some(value)
    }

    pub(crate) fn bool(&mut self, expr: &'a Expr) -> Result<bool> {
        match self.value(expr)? {
            Val::Bool(is) => Ok(is),
            _ => Err(Fault::Nothing),
        }
    }

    fn text(&mut self, expr: &'a Expr) -> Result<Cow<'a, str>> {
        match self.value(expr)? {
            Val::Str(text) => Ok(text),
            _ => Err(Fault::Nothing),
        }
    }

    /// `&&` is decided by a no, `||` by a yes, on whichever side, whatever the other side is.
    fn decided_by(&mut self, decisive: bool, a: &'a Expr, b: &'a Expr) -> Result<Val<'a>> {
        let first = self.bool(a);
        if first == Ok(decisive) || first == Err(Fault::TooCostly) {
            return first.map(Val::Bool);
        }
        let second = self.bool(b);
        if second == Ok(decisive) || second == Err(Fault::TooCostly) {
            return second.map(Val::Bool);
        }
        first.and(second).map(Val::Bool)
    }

    fn compares(&mut self, comparison: Comparison, a: &Val<'a>, b: &Val<'a>) -> Result<bool> {
        self.spend(weight(a).min(weight(b)))?;
        let ordering = || a.compare(b).ok_or(Fault::Nothing);
        Ok(match comparison {
            Comparison::Equal => a.equals(b),
            Comparison::NotEqual => !a.equals(b),
            Comparison::Less => ordering()? == Ordering::Less,
            Comparison::LessOrEqual => ordering()? != Ordering::Greater,
            Comparison::Greater => ordering()? == Ordering::Greater,
            Comparison::GreaterOrEqual => ordering()? != Ordering::Less,
        })
    }

    /// Whether it is an item of a list, or the name of an object's member.
    fn is_in(&mut self, item: &Val<'a>, list: &Val<'a>) -> Result<bool> {
        if let (Val::Str(name), Val::Object(_)) = (item, list) {
            return Ok(list.member(name).is_some());
        }
        self.spend(weight(list))?;
        let items = list.items().ok_or(Fault::Nothing)?;
        Ok(items.iter().any(|one| one.equals(item)))
    }

    fn arithmetic(&mut self, operation: Arithmetic, a: Val<'a>, b: Val<'a>) -> Result<Val<'a>> {
        self.spend(weight(&a) + weight(&b))?;
        let result = match (operation, a, b) {
            (Arithmetic::Add, Val::Str(a), Val::Str(b)) => Some(Val::Str(a + b)),
            (Arithmetic::Add, Val::Time(a), Val::Duration(b))
            | (Arithmetic::Add, Val::Duration(b), Val::Time(a)) => a.checked_add(b).map(Val::Time),
            (Arithmetic::Subtract, Val::Time(a), Val::Duration(b)) => {
                a.checked_sub(b).map(Val::Time)
            }
            (Arithmetic::Subtract, Val::Time(a), Val::Time(b)) => {
                a.checked_sub(b).map(Val::Duration)
            }
            (operation, Val::Duration(a), Val::Duration(b)) => match operation {
                Arithmetic::Add => a.checked_add(b).map(Val::Duration),
                Arithmetic::Subtract => a.checked_sub(b).map(Val::Duration),
                _ => None,
            },
            (operation, Val::Int(a), Val::Int(b)) => whole(operation, a, b).map(Val::Int),
            (Arithmetic::Add, a, b) if a.items().is_some() => {
                let mut items = a.items().ok_or(Fault::Nothing)?;
                items.extend(b.items().ok_or(Fault::Nothing)?);
                Some(Val::List(Rc::new(items)))
            }
            (operation, a, b) => {
                let number = |of: &Val<'_>| match of {
                    Val::Str(_) => Err(Fault::Nothing),
                    of => call::double(of).ok_or(Fault::Nothing),
                };
                fraction(operation, number(&a)?, number(&b)?)
            }
        };
        result.ok_or(Fault::Nothing)
    }

    fn go_round(&mut self, of: &'a Loop) -> Result<Val<'a>> {
        let items = match self.value(&of.range)? {
            Val::Object(object) => object.iter().map(|(name, _)| Val::text(name)).collect(),
            list => list.items().ok_or(Fault::Nothing)?,
        };
        self.spend(items.len())?;
        let depth = self.locals.len();
        let begin = self.value(&of.begin)?;
        self.locals.push(begin);
        let result = self.rounds(of, depth, items);
        let result = result.and_then(|()| self.value(&of.result));
        self.locals.truncate(depth);
        result
    }

    /// A round that faults leaves its fault to those that follow: `exists` may still find one.
    fn rounds(&mut self, of: &'a Loop, depth: usize, items: Vec<Val<'a>>) -> Result<()> {
        let mut fault = None;
        for item in items {
            if !self.bool(&of.goes_on)? {
                return Ok(());
            }
            self.locals.push(item);
            let step = self.value(&of.step);
            self.locals.truncate(depth + 1);
            match step {
                Ok(value) => self.locals[depth] = value,
                Err(Fault::Nothing) => fault = Some(Fault::Nothing),
                Err(Fault::TooCostly) => return Err(Fault::TooCostly),
            }
        }
        // Decided by the last item, whatever those before it were.
        if fault.is_some() && self.bool(&of.goes_on) == Ok(false) {
            return Ok(());
        }
        fault.map_or(Ok(()), Err)
    }
}

/// What comparing or joining it costs beside the step itself.
fn weight(value: &Val<'_>) -> usize {
    match value {
        Val::Str(text) => text.len() / STEP_BYTES,
        Val::Array(array) => array.len(),
        Val::Object(object) => object.len(),
        Val::List(list) => list.len(),
        _ => 0,
    }
}

fn index<'a>(from: &Val<'a>, at: &Val<'a>) -> Option<Val<'a>> {
    match (from, at) {
        (Val::Array(array), Val::Int(at)) => {
            array.iter().nth(usize::try_from(*at).ok()?).map(Into::into)
        }
        (Val::List(list), Val::Int(at)) => list.get(usize::try_from(*at).ok()?).cloned(),
        (Val::Object(_), Val::Str(name)) => from.member(name),
        _ => None,
    }
}

const fn whole(operation: Arithmetic, a: i64, b: i64) -> Option<i64> {
    match operation {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
}

/// A result that no twin could hold is none.
fn fraction<'a>(operation: Arithmetic, a: f64, b: f64) -> Option<Val<'a>> {
    let result = match operation {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => return None,
    };
    result.is_finite().then_some(Val::Double(result))
}
