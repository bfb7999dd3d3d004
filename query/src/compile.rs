//! From text to a compiled expression. The grammar is CEL's, read by a library; what names and
//! functions there are, and what may be written, is said here.

mod function;
mod path;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr as Ast, IdedExpr, LiteralValue, SelectExpr, SourceInfo,
    operators,
};
use cel::parser::Parser;

use crate::error::ExpressionError;
use crate::expr::{Arithmetic, Comparison, Constant, Expr, Loop};
use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};

type Result<T> = std::result::Result<T, ExpressionError>;

/// What an expression is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Twins as they are when somebody asks.
    Twins,
    /// Twins as they change: what goes on without them cannot be asked for.
    Changes,
    /// Twins that somebody may do something to, or may not: what their devices could change is not asked for.
    Rights,
}

/// Compiles an expression.
pub(crate) fn compile(source: &str, of: Of) -> Result<Expr> {
    let wrong = |message: String| ExpressionError { line: 1, column: 1, message };
    if source.trim().is_empty() {
        return Err(wrong("it is empty; write something like reported.temperature > 20".into()));
    }
    if source.len() > EXPRESSION_BYTES_MAX {
        let len = source.len();
        return Err(wrong(format!("{len} bytes are too long: at most {EXPRESSION_BYTES_MAX}")));
    }
    let parser = Parser::new().max_recursion_depth(EXPRESSION_DEPTH_MAX);
    let (ast, info) = parser.parse_with_source_info(source).map_err(|errors| {
        let first = errors.errors.into_iter().next();
        first.map_or_else(
            || wrong("it is no expression".into()),
            |first| {
                let at = |n: isize| usize::try_from(n).unwrap_or(0).max(1);
                let (line, column) = (at(first.pos.0), at(first.pos.1));
                ExpressionError { line, column, message: plain(&first.msg) }
            },
        )
    })?;
    Compiler { source, of, info, variables: Vec::new() }.expr(&ast)
}

/// What the grammar's reader says, without the long list of all that could stand there.
fn plain(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    if message.contains("'<EOF>'") {
        return "it ends where something more should follow".into();
    }
    message.split(" expecting {").next().unwrap_or(message).to_owned()
}

/// Under way through a tree.
struct Compiler<'s> {
    source: &'s str,
    of: Of,
    info: SourceInfo,
    /// Variables of the loops around, innermost last.
    variables: Vec<String>,
}

impl Compiler<'_> {
    fn wrong<T>(&self, at: u64, message: impl Into<String>) -> Result<T> {
        let offset = self.info.offset_for(at).map_or(0, |(start, _)| start as usize);
        let before = self.source.get(..offset).unwrap_or_default().chars();
        let (mut line, mut column) = (1, 1);
        for char in before {
            (line, column) = if char == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Err(ExpressionError { line, column, message: message.into() })
    }

    fn expr(&mut self, ast: &IdedExpr) -> Result<Expr> {
        if let Some(path) = self.path(ast)? {
            return Ok(path);
        }
        match &ast.expr {
            Ast::Literal(literal) => self.literal(ast.id, literal),
            Ast::Ident(name) => self.unknown_name(ast.id, name),
            Ast::Select(select) => self.select(select),
            Ast::Call(call) => self.call(ast.id, call),
            Ast::List(list) if list.optional_indices.is_empty() => {
                let items = list.elements.iter().map(|item| self.expr(item));
                Ok(Expr::List(items.collect::<Result<_>>()?))
            }
            Ast::Comprehension(of) => self.comprehension(ast.id, of),
            Ast::Map(_) | Ast::Struct(_) => {
                self.wrong(ast.id, "objects cannot be written in an expression; compare members")
            }
            Ast::List(_) | Ast::Unspecified => self.wrong(ast.id, "this is not supported"),
        }
    }

    fn literal(&self, at: u64, literal: &LiteralValue) -> Result<Expr> {
        Ok(Expr::Const(match literal {
            LiteralValue::Null => Constant::Null,
            LiteralValue::Boolean(is) => Constant::Bool(*is.inner()),
            LiteralValue::Int(int) => Constant::Int(*int.inner()),
            LiteralValue::UInt(uint) => Constant::Uint(*uint.inner()),
            LiteralValue::Double(double) => Constant::Double(*double.inner()),
            LiteralValue::String(text) => Constant::Str(text.inner().into()),
            LiteralValue::Bytes(_) => return self.wrong(at, "twins hold no bytes; write a text"),
        }))
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Expr> {
        let from = self.expr(&select.operand)?;
        let member = Expr::Select(Box::new(from), select.field.as_str().into());
        Ok(if select.test { Expr::Has(Box::new(member)) } else { member })
    }

    fn call(&mut self, at: u64, call: &CallExpr) -> Result<Expr> {
        let CallExpr { func_name, target, args } = call;
        if let Some(built) = self.operator(func_name, args)? {
            return Ok(built);
        }
        self.function(at, func_name, target.as_deref(), args)
    }

    /// What is written with signs; their number of operands is the grammar's.
    fn operator(&mut self, name: &str, args: &[IdedExpr]) -> Result<Option<Expr>> {
        Ok(Some(match (name, args) {
            (operators::LOGICAL_NOT, [of]) => Expr::Not(Box::new(self.expr(of)?)),
            (operators::NEGATE, [of]) => Expr::Negate(Box::new(self.expr(of)?)),
            (operators::NOT_STRICTLY_FALSE, [of]) => {
                Expr::NotStrictlyFalse(Box::new(self.expr(of)?))
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                Expr::If(Box::new([self.expr(condition)?, self.expr(yes)?, self.expr(no)?]))
            }
            (_, [a, b]) => {
                let Some(built) = binary(name) else { return Ok(None) };
                built(Box::new(self.expr(a)?), Box::new(self.expr(b)?))
            }
            _ => return Ok(None),
        }))
    }

    /// What `all`, `exists` and their like are made into: a result that grows item by item.
    fn comprehension(&mut self, at: u64, of: &ComprehensionExpr) -> Result<Expr> {
        if of.iter_var2.is_some() {
            return self.wrong(at, "loops take one variable");
        }
        let range = self.expr(&of.iter_range)?;
        let begin = self.expr(&of.accu_init)?;
        self.variables.push(of.accu_var.clone());
        let goes_on = self.expr(&of.loop_cond);
        self.variables.push(of.iter_var.clone());
        let step = self.expr(&of.loop_step);
        self.variables.pop();
        let result = self.expr(&of.result);
        self.variables.pop();
        let (goes_on, step, result) = (goes_on?, step?, result?);
        Ok(Expr::Loop(Box::new(Loop { range, begin, goes_on, step, result })))
    }
}

/// Makes one expression of two.
type Binary = fn(Box<Expr>, Box<Expr>) -> Expr;

/// What a sign between two operands makes of them.
fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        operators::LOGICAL_AND => Expr::And,
        operators::LOGICAL_OR => Expr::Or,
        operators::INDEX => Expr::Index,
        operators::IN => Expr::In,
        operators::EQUALS => |a, b| Expr::Compare(Comparison::Equal, a, b),
        operators::NOT_EQUALS => |a, b| Expr::Compare(Comparison::NotEqual, a, b),
        operators::LESS => |a, b| Expr::Compare(Comparison::Less, a, b),
        operators::LESS_EQUALS => |a, b| Expr::Compare(Comparison::LessOrEqual, a, b),
        operators::GREATER => |a, b| Expr::Compare(Comparison::Greater, a, b),
        operators::GREATER_EQUALS => |a, b| Expr::Compare(Comparison::GreaterOrEqual, a, b),
        operators::ADD => |a, b| Expr::Arithmetic(Arithmetic::Add, a, b),
        operators::SUBSTRACT => |a, b| Expr::Arithmetic(Arithmetic::Subtract, a, b),
        operators::MULTIPLY => |a, b| Expr::Arithmetic(Arithmetic::Multiply, a, b),
        operators::DIVIDE => |a, b| Expr::Arithmetic(Arithmetic::Divide, a, b),
        operators::MODULO => |a, b| Expr::Arithmetic(Arithmetic::Remainder, a, b),
        _ => return None,
    })
}
