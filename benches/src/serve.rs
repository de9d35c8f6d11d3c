//! The process of a null server.

use std::{io::Write, net::TcpListener};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{child, child::Asked, null_broker, null_echo};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// [`null_echo`].
    Echo,
    /// [`null_broker`].
    Broker,
}

/// A server, and how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Served {
    /// Which one.
    pub server: Server,
    /// How a broker looks.
    #[command(flatten)]
    pub options: null_broker::Options,
}

impl Served {
    /// The null echo.
    pub const ECHO: Self = Self { server: Server::Echo, options: null_broker::Options::PLAIN };
    /// The null broker with 4 queues that never end.
    pub const BROKER: Self = Self::broker(null_broker::Options::PLAIN);

    /// A null broker.
    pub const fn broker(options: null_broker::Options) -> Self {
        Self { server: Server::Broker, options }
    }
}

/// Serves on a free port, and prints its address. Ends when standard input does.
///
/// # Errors
///
/// When there is no port.
pub fn run(served: Served) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(move || match served.server {
        Server::Echo => null_echo::serve(&listener),
        Server::Broker => {
            if let Err(error) = null_broker::serve(&listener, served.options) {
                eprintln!("null broker: {error:#}");
            }
        }
    });
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

/// Starts one as a process of its own. The program must take `serve NAME`, with the options of a broker.
///
/// # Errors
///
/// When it does not start.
pub fn start(served: Served, core: Option<usize>) -> Result<(Asked, String)> {
    let name = served.server.to_possible_value().context("a server without a name")?;
    let mut command = child::myself(core)?;
    command.args(["serve", name.get_name()]).args(served.options.arguments());
    Asked::start(command)
}
