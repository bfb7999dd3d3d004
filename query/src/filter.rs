//! Expressions as callers hold them.

use std::fmt;

use pollux_twin::Value;

use crate::compile::{Of, compile};
use crate::error::{ExpressionError, TooCostly};
use crate::eval::{Eval, Fault};
use crate::expr::{Constant, Expr, Function, Root};
use crate::subject::Subject;

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    source: Box<str>,
    expr: Expr,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl Expression {
    /// Compiles an expression of CEL's grammar; see `docs/query.md` for what it can ask for.
    ///
    /// # Errors
    /// Says where it is wrong and what would be right.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Self::of(source, Of::Twins)
    }

    fn of(source: &str, of: Of) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.trim().into(), expr: compile(source, of)? })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) const fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Its value on a twin; `None` where it has none, as it asks for what is not there.
    ///
    /// # Errors
    /// It takes too many steps.
    pub fn value(&self, subject: &Subject<'_>) -> Result<Option<Value>, TooCostly> {
        match Eval::new(subject).value(&self.expr) {
            Ok(value) => Ok(Some(value.to_value())),
            Err(Fault::Nothing) => Ok(None),
            Err(Fault::TooCostly) => Err(TooCostly),
        }
    }
}

/// An expression that says yes or no.
#[derive(Clone, Debug)]
pub struct Filter {
    expression: Expression,
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// As [`Expression::parse`], and if it can be neither true nor false.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Self::of(Expression::parse(source)?)
    }

    /// Compiles a filter that is asked of twins as they change.
    ///
    /// # Errors
    /// As [`Filter::parse`], and if it asks for what changes without the twin.
    pub fn parse_for_changes(source: &str) -> Result<Self, ExpressionError> {
        Self::of(Expression::of(source, Of::Changes)?)
    }

    /// Compiles a filter that narrows who may do what.
    ///
    /// # Errors
    /// As [`Filter::parse`], and if it asks for anything but `id`, `groups` and `tags`.
    pub fn parse_for_rights(source: &str) -> Result<Self, ExpressionError> {
        Self::of(Expression::of(source, Of::Rights)?)
    }

    fn of(expression: Expression) -> Result<Self, ExpressionError> {
        if let Some(kind) = not_bool(&expression.expr) {
            let message =
                format!("a filter is true or false, and this is {kind}; compare it with something");
            return Err(ExpressionError { line: 1, column: 1, message });
        }
        Ok(Self { expression })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        self.expression.source()
    }

    pub(crate) const fn expr(&self) -> &Expr {
        self.expression.expr()
    }

    /// Whether a twin is one of those; not if it lacks what the filter asks for.
    ///
    /// # Errors
    /// It takes too many steps.
    pub fn matches(&self, subject: &Subject<'_>) -> Result<bool, TooCostly> {
        match Eval::new(subject).bool(&self.expression.expr) {
            Ok(is) => Ok(is),
            Err(Fault::Nothing) => Ok(false),
            Err(Fault::TooCostly) => Err(TooCostly),
        }
    }
}

/// What an expression is that certainly is neither true nor false.
const fn not_bool(expr: &Expr) -> Option<&'static str> {
    Some(match expr {
        Expr::Const(Constant::Bool(_)) => return None,
        Expr::Const(Constant::Null) => "null",
        Expr::Const(Constant::Str(_))
        | Expr::Path(Root::Id | Root::Tenant | Root::Type, _)
        | Expr::Call(Function::LowerAscii | Function::UpperAscii | Function::String, _) => "a text",
        Expr::Const(Constant::Time(_))
        | Expr::Path(Root::Now, _)
        | Expr::Call(Function::Timestamp, _) => "a time",
        Expr::Const(Constant::Duration(_)) | Expr::Call(Function::Duration, _) => "a duration",
        Expr::Const(_)
        | Expr::Negate(_)
        | Expr::Path(Root::Version | Root::TypeVersion, _)
        | Expr::Call(Function::Size | Function::Int | Function::Double, _) => "a number",
        Expr::Arithmetic(..) => "a result of arithmetic",
        Expr::List(_) | Expr::Path(Root::Groups, _) => "a list",
        _ => return None,
    })
}
