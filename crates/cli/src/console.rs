//! Where output goes: data to standard output, all else to standard error.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::Failure;

/// How long work may take before its progress is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command's standard output and standard error.
pub struct Console {
    out: Box<dyn Write>,
    error: Box<dyn Write>,
    paint_out: Paint,
    paint_error: Paint,
    /// Whether progress may be shown.
    progress: bool,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

/// Progress on standard error, shown once the work has taken a second and only on a terminal.
pub(crate) struct Progress {
    started: Instant,
    shown: bool,
    noun: &'static str,
    count: u64,
    bar: Option<ProgressBar>,
}

// === impl Console ===

impl Console {
    /// The process's own streams. Colours are used on terminals, unless `NO_COLOR` is set.
    pub fn standard() -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            paint_out: Paint(colour && io::stdout().is_terminal()),
            paint_error: Paint(colour && io::stderr().is_terminal()),
            progress: io::stderr().is_terminal(),
            out: Box::new(BufWriter::with_capacity(64 << 10, io::stdout())),
            error: Box::new(io::stderr()),
        }
    }

    /// Streams of the caller's, without colours or progress.
    pub fn new(out: Box<dyn Write>, error: Box<dyn Write>) -> Self {
        Self { out, error, paint_out: Paint(false), paint_error: Paint(false), progress: false }
    }

    /// Standard output, for data.
    pub(crate) fn out(&mut self) -> &mut dyn Write {
        &mut *self.out
    }

    /// Colours of standard output.
    pub(crate) fn paint(&self) -> Paint {
        self.paint_out
    }

    /// Writes out what is still in memory.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Says what went wrong and what to do about it. A message is one paragraph.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        self.say("error", AnsiColor::Red, &failure.message);
        self.help(&failure.help);
    }

    /// Says what may not be as it was meant.
    pub(crate) fn warn(&mut self, message: &str) {
        self.say("warning", AnsiColor::Yellow, message);
    }

    /// Says what to do about what was said last.
    pub(crate) fn help(&mut self, help: &str) {
        if !help.is_empty() {
            self.say("help", AnsiColor::Cyan, help);
        }
    }

    /// Says something to the user, not to a program.
    pub(crate) fn note(&mut self, message: &str) {
        // If nobody can be told, there is nobody to tell.
        let _ = writeln!(self.error, "{message}");
    }

    /// Progress of work on many of `noun`.
    pub(crate) fn progress(&self, noun: &'static str) -> Progress {
        Progress { started: Instant::now(), shown: self.progress, noun, count: 0, bar: None }
    }

    fn say(&mut self, word: &str, colour: AnsiColor, message: &str) {
        let word = self.paint_error.style(word, Style::new().bold().fg_color(Some(colour.into())));
        let _ = writeln!(self.error, "{word}: {message}");
    }
}

// === impl Paint ===

impl Paint {
    pub(crate) fn good(self, text: &str) -> String {
        self.style(text, AnsiColor::Green.on_default())
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.style(text, AnsiColor::Red.on_default().bold())
    }

    pub(crate) fn doubtful(self, text: &str) -> String {
        self.style(text, AnsiColor::Yellow.on_default())
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.style(text, Style::new().bold())
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.style(text, Style::new().dimmed())
    }

    fn style(self, text: &str, style: Style) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

// === impl Progress ===

impl Progress {
    /// One more is done.
    pub(crate) fn step(&mut self) {
        self.count += 1;
        if !self.shown {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.count);
        } else if self.started.elapsed() > PATIENCE {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = format!("{{spinner}} {{human_pos}} {} ({{per_sec}})", self.noun);
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.set_position(self.count);
            self.bar = Some(bar);
        }
    }

    /// The work is done; the progress disappears.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
