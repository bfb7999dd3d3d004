//! Functions: which there are, how they are written, and what can be worked out at once.

use cel::common::ast::{Expr as Ast, IdedExpr, LiteralValue};
use regex::RegexBuilder;

use super::{Compiler, Result};
use crate::expr::{Constant, Expr, Function, Pattern};
use crate::limits::PATTERN_BYTES_MAX;
use crate::text;

const FUNCTIONS: &str = "size, contains, startsWith, endsWith, matches, lowerAscii, upperAscii, int, \
                         double, string, timestamp, duration, has, holds, and all, exists, exists_one, \
                         filter, map of lists";

impl Compiler<'_> {
    pub(super) fn function(
        &mut self,
        at: u64,
        name: &str,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Result<Expr> {
        let (function, example) = match name {
            "size" => (Function::Size, "tags.sites.size()"),
            "contains" => (Function::Contains, "id.contains(\"pump\")"),
            "startsWith" => (Function::StartsWith, "id.startsWith(\"pump\")"),
            "endsWith" => (Function::EndsWith, "id.endsWith(\"-7\")"),
            "lowerAscii" => (Function::LowerAscii, "tags.site.lowerAscii()"),
            "upperAscii" => (Function::UpperAscii, "tags.site.upperAscii()"),
            "int" => (Function::Int, "int(reported.serial)"),
            "double" => (Function::Double, "double(reported.level)"),
            "string" => (Function::String, "string(reported.code)"),
            "timestamp" => (Function::Timestamp, "timestamp(\"2026-01-31T00:00:00Z\")"),
            "duration" => (Function::Duration, "duration(\"1h30m\")"),
            "matches" => return self.matches(at, target, args),
            "holds" => return self.holds(at, target, args),
            _ => {
                let problem = format!("there is no function `{name}`; there are {FUNCTIONS}");
                return self.wrong(at, problem);
            }
        };
        let of_text =
            matches!(function, Function::Contains | Function::StartsWith | Function::EndsWith);
        let as_method = matches!(function, Function::LowerAscii | Function::UpperAscii) || of_text;
        let fits = args.len() + usize::from(target.is_some()) == if of_text { 2 } else { 1 };
        let well_placed = function == Function::Size || target.is_some() == as_method;
        if !fits || !well_placed {
            return self.wrong(at, format!("`{name}` is written so: {example}"));
        }
        let arguments: Box<[Expr]> =
            target.into_iter().chain(args).map(|of| self.expr(of)).collect::<Result<_>>()?;
        self.known(at, function, &arguments, example)
            .map(|known| known.unwrap_or(Expr::Call(function, arguments)))
    }

    /// Times and durations that are written out are read once.
    fn known(
        &self,
        at: u64,
        function: Function,
        arguments: &[Expr],
        example: &str,
    ) -> Result<Option<Expr>> {
        let [Expr::Const(Constant::Str(text))] = arguments else { return Ok(None) };
        let read = match function {
            Function::Timestamp => text::parse_time(text).map(Constant::Time),
            Function::Duration => text::parse_duration(text).map(Constant::Duration),
            _ => return Ok(None),
        };
        match read {
            Some(constant) => Ok(Some(Expr::Const(constant))),
            None => self.wrong(at, format!("\"{text}\" cannot be read; written so: {example}")),
        }
    }

    fn holds(&mut self, at: u64, target: Option<&IdedExpr>, args: &[IdedExpr]) -> Result<Expr> {
        let (None, [of]) = (target, args) else {
            return self.wrong(at, "`holds` is written so: holds(reported.level > 40)");
        };
        Ok(Expr::Holds(Box::new(self.expr(of)?)))
    }

    fn matches(&mut self, at: u64, target: Option<&IdedExpr>, args: &[IdedExpr]) -> Result<Expr> {
        let (Some(of), [pattern]) = (target, args) else {
            return self.wrong(at, "`matches` is written so: id.matches(\"^pump-[0-9]+$\")");
        };
        let Ast::Literal(LiteralValue::String(text)) = &pattern.expr else {
            return self.wrong(pattern.id, "a pattern is written out as a text");
        };
        let built = RegexBuilder::new(text.inner()).size_limit(PATTERN_BYTES_MAX).build();
        let pattern = match built {
            Ok(pattern) => pattern,
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim();
                return self.wrong(pattern.id, format!("the pattern cannot be used: {reason}"));
            }
        };
        Ok(Expr::Matches(Box::new(self.expr(of)?), Pattern(pattern)))
    }
}
