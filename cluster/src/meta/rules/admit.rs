//! How a node comes in: tokens, joining, and taking the place of a lost node. Owns that a token lets in one
//! node, that an id is given once, and that nothing is given to a disk that is known.

use super::super::answer::{Answer, Refusal};
use super::super::command::Newcomer;
use super::super::node::{Node, NodeState, Profile};
use super::super::settings::Token;
use super::super::state::Meta;
use super::{Change, Outcome};
use crate::limits::{
    META_NODES_MAX, TOKEN_SKEW_MS, TOKEN_TTL_MS_MAX, TOKEN_TTL_MS_MIN, TOKENS_MAX,
};

impl Meta {
    pub(in crate::meta) fn issue_token(
        &mut self,
        hash: [u8; 32],
        ttl_ms: u64,
        now_ms: u64,
    ) -> Result<Outcome, Refusal> {
        if !(TOKEN_TTL_MS_MIN..=TOKEN_TTL_MS_MAX).contains(&ttl_ms) {
            let (least, most) = (TOKEN_TTL_MS_MIN / 1000, TOKEN_TTL_MS_MAX / 1000);
            let why = format!("a token lives {least} to {most} s, not {} ms", ttl_ms);
            return Err(Refusal::Invalid { why });
        }
        let token =
            Token { issued_ms: now_ms, expires_ms: now_ms.saturating_add(ttl_ms), used_by: None };
        match self.tokens.get(&hash) {
            Some(known) if *known == token => return Ok(Outcome::Same(Answer::Done)),
            Some(_) => {
                let why = "a token of this hash was issued before: make another one".into();
                return Err(Refusal::Invalid { why });
            }
            None => {}
        }
        let alive = self.tokens.values().filter(|token| token.expires_ms > now_ms).count();
        if alive >= TOKENS_MAX {
            return Err(Refusal::Full { what: "tokens at once".into(), most: TOKENS_MAX as u64 });
        }
        self.tokens.retain(|_, token| token.expires_ms > now_ms);
        self.tokens.insert(hash, token);
        Ok(Outcome::Changed(Answer::Done))
    }

    pub(in crate::meta) fn revoke_token(&mut self, hash: [u8; 32]) -> Result<Outcome, Refusal> {
        self.tokens.remove(&hash).ok_or(Refusal::UnknownToken)?;
        Ok(Outcome::done(Change::Yes))
    }

    pub(in crate::meta) fn join(&mut self, newcomer: Newcomer) -> Result<Outcome, Refusal> {
        if let Some(again) = self.admitted_before(&newcomer)? {
            return Ok(again);
        }
        self.check_newcomer(&newcomer, None)?;
        let id = self.admit(newcomer);
        Ok(Outcome::Changed(Answer::Node(id)))
    }

    pub(in crate::meta) fn replace(
        &mut self,
        old: u64,
        newcomer: Newcomer,
    ) -> Result<Outcome, Refusal> {
        if let Some(again) = self.admitted_before(&newcomer)? {
            return Ok(again);
        }
        self.member(old)?;
        self.check_newcomer(&newcomer, Some(old))?;
        self.spared(old)?;
        let new = self.admit(newcomer);
        for place in std::iter::once(&mut self.own).chain(&mut self.map) {
            place.replace(old, new);
        }
        self.member_mut(old)?.remove();
        Ok(Outcome::Changed(Answer::Node(new)))
    }

    /// Whether this very call was answered before and its answer may have been lost. Only until the
    /// node's first start: afterwards a used token must not be worth anything.
    fn admitted_before(&self, newcomer: &Newcomer) -> Result<Option<Outcome>, Refusal> {
        let token = self.valid_token(newcomer)?;
        let Some(id) = token.used_by else { return Ok(None) };
        let node = self.nodes.get(&id).filter(|node| node.is_member());
        let again = node.is_some_and(|n| n.uuid == newcomer.node_uuid && n.starts == 0);
        if !again {
            return Err(Refusal::TokenUsed { node: id });
        }
        Ok(Some(Outcome::Same(Answer::Node(id))))
    }

    fn valid_token(&self, newcomer: &Newcomer) -> Result<Token, Refusal> {
        let token = self.tokens.get(&newcomer.token).ok_or(Refusal::UnknownToken)?;
        let from = token.issued_ms.saturating_sub(TOKEN_SKEW_MS);
        if !(from..token.expires_ms).contains(&newcomer.now_ms) {
            return Err(Refusal::TokenExpired);
        }
        Ok(*token)
    }

    fn check_newcomer(&self, newcomer: &Newcomer, replaced: Option<u64>) -> Result<(), Refusal> {
        self.same_configuration(newcomer.fingerprint)?;
        self.check_profile(&newcomer.profile, replaced)?;
        let known = self.nodes.iter().find(|(_, node)| node.uuid == newcomer.node_uuid);
        if let Some((id, _)) = known {
            return Err(Refusal::KnownDisk { node: *id });
        }
        let room = replaced.is_some() || self.members().count() < META_NODES_MAX;
        room.then_some(())
            .ok_or_else(|| Refusal::Full { what: "nodes".into(), most: META_NODES_MAX as u64 })
    }

    /// What a node says of itself must be in range, its name its own, and its program able to run at
    /// the cluster's level.
    pub(super) fn check_profile(&self, profile: &Profile, but: Option<u64>) -> Result<(), Refusal> {
        if let Some(why) = profile.fault() {
            return Err(Refusal::Invalid { why });
        }
        self.check_formats(profile.formats, but.unwrap_or_default())?;
        let same =
            self.members().find(|(id, n)| Some(*id) != but && n.profile.name == profile.name);
        same.map_or(Ok(()), |(node, _)| Err(Refusal::NameTaken { node }))
    }

    /// Gives the next id. Everything was checked.
    fn admit(&mut self, newcomer: Newcomer) -> u64 {
        let Newcomer { token, node_uuid: uuid, profile, .. } = newcomer;
        if self.nodes.len() >= META_NODES_MAX {
            self.forget_one();
        }
        self.last_node += 1;
        let id = self.last_node;
        if let Some(token) = self.tokens.get_mut(&token) {
            token.used_by = Some(id);
        }
        self.nodes.insert(id, Node { uuid, starts: 0, profile, state: NodeState::Active });
        id
    }

    /// Makes room by dropping the node that was removed first. Its id stays burned: ids only grow.
    fn forget_one(&mut self) {
        let held = |id: u64| self.places().any(|(_, place)| place.may_hold(id));
        let gone = self.nodes.iter().find(|(id, node)| !node.is_member() && !held(**id));
        if let Some(id) = gone.map(|(id, _)| *id) {
            self.nodes.remove(&id);
        }
    }
}
