//! Keys of a connection's later phases, made when they are first used.

use std::sync::{Arc, Mutex, OnceLock};

use bytes::BytesMut;
use quinn_proto::crypto::{CryptoError, KeyPair, PacketKey};
use rustls::quic::{PacketKeySet, Secrets};

/// The keys of a key phase to come. quinn asks for them when a connection begins, to be ready for a
/// peer that changes phase; hardly one does before 2^23 packets, so they are made when first used.
pub(super) struct LaterKeys {
    secrets: Mutex<Secrets>,
    keys: OnceLock<PacketKeySet>,
}

impl LaterKeys {
    /// Those of the phase that these secrets are of: what this side writes with, and what it reads with.
    pub(super) fn after(secrets: Secrets) -> (Arc<Self>, KeyPair<Box<dyn PacketKey>>) {
        let of = Arc::new(Self { secrets: Mutex::new(secrets), keys: OnceLock::new() });
        let local = LaterKey { of: Arc::clone(&of), way: Way::Out };
        let remote = LaterKey { of: Arc::clone(&of), way: Way::In };
        (of, KeyPair { local: Box::new(local), remote: Box::new(remote) })
    }

    fn keys(&self) -> &PacketKeySet {
        self.keys.get_or_init(|| self.secrets().next_packet_keys())
    }

    /// The secrets of the phase after this one.
    pub(super) fn secrets_after(&self) -> Secrets {
        self.keys();
        self.secrets().clone()
    }

    fn secrets(&self) -> std::sync::MutexGuard<'_, Secrets> {
        self.secrets.lock().expect("no holder of this lock panics")
    }
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// One way's key of [`LaterKeys`].
struct LaterKey {
    of: Arc<LaterKeys>,
    way: Way,
}

impl LaterKey {
    #[expect(clippy::borrowed_box, reason = "quinn's trait is implemented for the box")]
    fn key(&self) -> &Box<dyn rustls::quic::PacketKey> {
        let keys = self.of.keys();
        match self.way {
            Way::In => &keys.remote,
            Way::Out => &keys.local,
        }
    }
}

impl PacketKey for LaterKey {
    fn encrypt(&self, packet: u64, bytes: &mut [u8], header_len: usize) {
        PacketKey::encrypt(self.key(), packet, bytes, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        PacketKey::decrypt(self.key(), packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        PacketKey::tag_len(self.key())
    }

    fn confidentiality_limit(&self) -> u64 {
        PacketKey::confidentiality_limit(self.key())
    }

    fn integrity_limit(&self) -> u64 {
        PacketKey::integrity_limit(self.key())
    }
}
