//! Names: what of a twin an expression can ask for.

use cel::common::ast::{CallExpr, Expr as Ast, IdedExpr, LiteralValue, SelectExpr, operators};

use super::{Compiler, Of, Result};
use crate::expr::{Expr, Meta, Of as Section, Presence, Root};

/// All names, for who wrote another.
const NAMES: &str = "id, tenant, version, tags, desired, reported, telemetry, presence, meta, \
                     in_sync, standing, type, type_version, groups, quarantined, now";

/// A name and what follows it, each with its place in the text.
struct Written<'e> {
    name: &'e str,
    at: u64,
    rest: Vec<(&'e str, u64)>,
    /// It stands in `has(…)`.
    tested: bool,
}

/// A path that is written out: names with points between, or in brackets as texts.
fn written(ast: &IdedExpr) -> Option<Written<'_>> {
    let (mut rest, mut tested, mut expr) = (Vec::new(), false, ast);
    loop {
        match &expr.expr {
            Ast::Ident(name) => {
                rest.reverse();
                return Some(Written { name, at: expr.id, rest, tested });
            }
            Ast::Select(SelectExpr { operand, field, test }) => {
                tested |= *test;
                rest.push((field.as_str(), expr.id));
                expr = operand;
            }
            Ast::Call(CallExpr { func_name, target: None, args })
                if func_name == operators::INDEX =>
            {
                let [from, at] = &args[..] else { return None };
                let Ast::Literal(LiteralValue::String(name)) = &at.expr else { return None };
                rest.push((name.inner(), at.id));
                expr = from;
            }
            _ => return None,
        }
    }
}

impl Compiler<'_> {
    /// A path, if this is one.
    pub(super) fn path(&self, ast: &IdedExpr) -> Result<Option<Expr>> {
        let Some(written) = written(ast) else { return Ok(None) };
        let variable = self.variables.iter().rposition(|name| name == written.name);
        let found = if let Some(local) = variable {
            let select =
                |from, (name, _): &(&str, u64)| Expr::Select(Box::new(from), (*name).into());
            written.rest.iter().fold(Expr::Local(local), select)
        } else {
            let (root, used) = self.root(&written)?;
            self.may_ask(&written, root)?;
            let rest = written.rest[used..].iter().map(|(name, _)| (*name).into()).collect();
            self.path_of(&written, root, rest)?
        };
        Ok(Some(if written.tested { Expr::Has(Box::new(found)) } else { found }))
    }

    fn path_of(&self, written: &Written<'_>, root: Root, rest: Box<[Box<str>]>) -> Result<Expr> {
        let has_members =
            matches!(root, Root::Tags | Root::Desired | Root::Reported | Root::Telemetry);
        if root == Root::Telemetry && rest.is_empty() {
            return self.wrong(written.at, "telemetry is asked for by name: telemetry.temperature");
        }
        if !has_members && !rest.is_empty() {
            let (name, at) = written.rest.last().expect("the rest is not empty");
            return self.wrong(*at, format!("there is no `{name}` here: this has no members"));
        }
        Ok(Expr::Path(root, rest))
    }

    /// What changes without the twin cannot be asked of its changes, and who may what does not depend on devices.
    fn may_ask(&self, written: &Written<'_>, root: Root) -> Result<()> {
        if self.of == Of::Rights && !matches!(root, Root::Id | Root::Tags | Root::Groups) {
            let problem = format!(
                "`{}` is not for policies: they may ask for id, groups and tags, which a device cannot change",
                written.name
            );
            return self.wrong(written.at, problem);
        }
        let name = match root {
            Root::Now => "now",
            Root::Presence(Presence::Unknown) => "presence.unknown",
            Root::Quarantined => "quarantined",
            _ => return Ok(()),
        };
        if self.of != Of::Changes {
            return Ok(());
        }
        let problem = format!("`{name}` changes without a change that could be told; query for it");
        self.wrong(written.at, problem)
    }

    /// Where a path begins, and how many names behind the first one say so.
    fn root(&self, written: &Written<'_>) -> Result<(Root, usize)> {
        Ok(match written.name {
            "id" => (Root::Id, 0),
            "tenant" => (Root::Tenant, 0),
            "version" => (Root::Version, 0),
            "tags" => (Root::Tags, 0),
            "desired" => (Root::Desired, 0),
            "reported" => (Root::Reported, 0),
            "telemetry" => (Root::Telemetry, 0),
            "in_sync" => (Root::InSync, 0),
            "quarantined" => (Root::Quarantined, 0),
            "standing" => (Root::Standing, 0),
            "type" => (Root::Type, 0),
            "type_version" => (Root::TypeVersion, 0),
            "groups" => (Root::Groups, 0),
            "now" => (Root::Now, 0),
            "presence" => (Root::Presence(self.presence(written)?), 1),
            "meta" => (self.meta(written)?, 2),
            name => return self.unknown_name(written.at, name),
        })
    }

    fn presence(&self, written: &Written<'_>) -> Result<Presence> {
        Ok(match written.rest.first().map(|(name, _)| *name) {
            Some("connected") => Presence::Connected,
            Some("unknown") => Presence::Unknown,
            Some("node") => Presence::Node,
            Some("since") => Presence::Since,
            Some("seen") => Presence::Seen,
            _ => return self.unknown_member(written, 0, "connected, unknown, node, since, seen"),
        })
    }

    fn meta(&self, written: &Written<'_>) -> Result<Root> {
        let of = match written.rest.first().map(|(name, _)| *name) {
            Some("tags") => Section::Tags,
            Some("desired") => Section::Desired,
            Some("reported") => Section::Reported,
            _ => return self.unknown_member(written, 0, "tags, desired, reported"),
        };
        let what = match written.rest.get(1).map(|(name, _)| *name) {
            Some("version") => Meta::Version,
            Some("at") => Meta::At,
            Some("by") => Meta::By,
            _ => return self.unknown_member(written, 1, "version, at, by"),
        };
        Ok(Root::Meta(of, what))
    }

    pub(super) fn unknown_name<T>(&self, at: u64, name: &str) -> Result<T> {
        self.wrong(at, format!("there is no `{name}`: an expression knows {NAMES}"))
    }

    fn unknown_member<T>(&self, written: &Written<'_>, place: usize, there: &str) -> Result<T> {
        match written.rest.get(place) {
            Some((name, at)) => self.wrong(*at, format!("there is no `{name}` here, only {there}")),
            None => self.wrong(written.at, format!("`{}` needs a member: {there}", written.name)),
        }
    }
}
