//! The terminal while a picture is shown in it: a screen of its own, given back however the program ends.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};

/// What somebody wants who pressed a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// To leave.
    Quit,
    /// That the picture stays, or goes on.
    Hold,
    /// The same picture again: the window is another one.
    Redraw,
}

/// The terminal, while it is ours.
pub(super) struct Screen;

impl Screen {
    /// Takes it.
    pub(super) fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// How many lines it has room for.
    pub(super) fn height() -> usize {
        size().map_or(24, |(_, rows)| rows.into())
    }

    /// Shows lines in place of those before; what does not fit in a line is cut.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let width = size().map_or(80, |(columns, _)| columns.into());
        let mut out = io::stdout().lock();
        for (row, line) in (0..).zip(lines) {
            let cut: String = line.chars().take(width).collect();
            queue!(out, MoveTo(0, row), Print(cut), Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }

    /// Waits for a key that means something, at most so long. Blocks its thread.
    pub(super) fn key(within: Duration) -> io::Result<Option<Key>> {
        if !poll(within)? {
            return Ok(None);
        }
        Ok(match read()? {
            Event::Resize(..) => Some(Key::Redraw),
            Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
                KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    Some(Key::Quit)
                }
                KeyCode::Char(' ') => Some(Key::Hold),
                _ => None,
            },
            _ => None,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
