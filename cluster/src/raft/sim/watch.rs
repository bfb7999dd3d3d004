//! tokio's watch channel, but for the order in which it wakes those who wait: that of tokio is drawn from a
//! chance of its own, here it is the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use openraft::async_runtime::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};
use openraft::{OptionalSend, base::OptionalSync};
use tokio::sync::{Notify, watch};

/// The channel.
pub(crate) struct OrderedWatch;

/// What both ends share.
#[derive(Default)]
struct Told {
    changed: Notify,
    /// How often the value has changed.
    version: AtomicU64,
    senders: AtomicUsize,
}

impl Told {
    fn tell(&self) {
        self.version.fetch_add(1, SeqCst);
        self.changed.notify_waiters();
    }
}

/// The end that sets the value.
pub(crate) struct Sender<T> {
    value: watch::Sender<T>,
    told: Arc<Told>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.told.senders.fetch_add(1, SeqCst);
        Self { value: self.value.clone(), told: Arc::clone(&self.told) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.told.senders.fetch_sub(1, SeqCst) == 1 {
            self.told.changed.notify_waiters();
        }
    }
}

/// The end that waits for it.
pub(crate) struct Receiver<T> {
    value: watch::Receiver<T>,
    told: Arc<Told>,
    seen: u64,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), told: Arc::clone(&self.told), seen: self.seen }
    }
}

impl Watch for OrderedWatch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = watch::channel(init);
        let told = Arc::new(Told { senders: AtomicUsize::new(1), ..Told::default() });
        let receiver = Receiver { value: receiver, told: Arc::clone(&told), seen: 0 };
        (Sender { value: sender, told }, receiver)
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<OrderedWatch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.value.send(value).map_err(|refused| SendError(refused.0))?;
        self.told.tell();
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        let modified = self.value.send_if_modified(modify);
        if modified {
            self.told.tell();
        }
        modified
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        let seen = self.told.version.load(SeqCst);
        Receiver { value: self.value.subscribe(), told: Arc::clone(&self.told), seen }
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<OrderedWatch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            let changed = self.told.changed.notified();
            let version = self.told.version.load(SeqCst);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.told.senders.load(SeqCst) == 0 {
                return Err(RecvError(()));
            }
            changed.await;
        }
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.seen = self.told.version.load(SeqCst);
        self.value.borrow()
    }
}
