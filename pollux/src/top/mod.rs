//! `pollux top`: what the cluster does, again and again, until somebody has seen enough. Owns the asking and
//! the waiting; the figures are in `picture`, the terminal in `screen`.

mod picture;
mod screen;

use std::io::{self, IsTerminal};
use std::time::Duration;

use pollux_proto::v1;
use pollux_runtime::clock::Clock;

use crate::args::{Output, TopArgs};
use crate::client::Client;
use crate::cluster_status;
use crate::exit::{Exit, Failure};
use crate::limits::TOP_KEY_LOOK;
use crate::print;
use picture::Picture;
use screen::{Key, Screen};

/// Shows pictures.
pub(crate) async fn run(output: Output, args: &TopArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.client).await?;
    let mut pictures = Pictures { client, clock: Clock::new(), before: None };
    if output == Output::Text && io::stdout().is_terminal() {
        return live(&mut pictures, args).await;
    }
    let mut left = args.count;
    // Rates need two answers; the first alone would be a picture of nothing.
    pictures.next().await?;
    loop {
        tokio::time::sleep(args.every).await;
        let picture = pictures.next().await?;
        let text = picture.lines(usize::MAX).join("\n") + "\n";
        print::result(output, &text, &picture.document())?;
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return Ok(());
        }
    }
}

/// Pictures of a cluster, one after the other.
struct Pictures {
    client: Client,
    clock: Clock,
    before: Option<(v1::ClusterStatusResponse, Duration)>,
}

impl Pictures {
    async fn next(&mut self) -> Result<Picture, Failure> {
        let status = cluster_status::ask(&self.client).await?;
        let now = self.clock.elapsed();
        let before = self.before.as_ref().map(|(before, at)| (before, now.saturating_sub(*at)));
        let picture = Picture::new(before, status);
        self.before = Some((picture.status().clone(), now));
        Ok(picture)
    }
}

async fn live(pictures: &mut Pictures, args: &TopArgs) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::new(Exit::Failed, format!("the terminal: {error}"));
    let mut picture = pictures.next().await?;
    let screen = Screen::open().map_err(broken)?;
    let (mut held, mut left) = (false, args.count);
    loop {
        screen.show(&picture.lines(Screen::height())).map_err(broken)?;
        let until = pictures.clock.elapsed() + args.every;
        while pictures.clock.elapsed() < until || held {
            let look = || Screen::key(Duration::ZERO);
            match tokio::task::block_in_place(look).map_err(broken)? {
                Some(Key::Quit) => return Ok(()),
                Some(Key::Hold) => held = !held,
                Some(Key::Redraw) => {
                    screen.show(&picture.lines(Screen::height())).map_err(broken)?;
                }
                None => tokio::time::sleep(TOP_KEY_LOOK).await,
            }
        }
        picture = pictures.next().await?;
        left = left.map(|left| left - 1);
        if left == Some(0) {
            drop(screen);
            return print::line(&picture.lines(usize::MAX).join("\n"));
        }
    }
}
