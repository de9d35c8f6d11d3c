//! The process of a null server.

use std::{io::Write, net::TcpListener};

use anyhow::{Context, Result};
use clap::ValueEnum;
use ferrocket_protocol::HeaderFormat;

use crate::{child, child::Asked, null_broker, null_echo};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// [`null_echo`].
    Echo,
    /// [`null_broker`], 4 queues.
    Broker,
}

/// Serves on a free port, and prints its address. Ends when standard input does.
///
/// # Errors
///
/// When there is no port.
pub fn run(server: Server) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(move || match server {
        Server::Echo => null_echo::serve(&listener),
        Server::Broker => {
            let options = null_broker::Options { queues: 4, format: HeaderFormat::Json };
            if let Err(error) = null_broker::serve(&listener, options) {
                eprintln!("null broker: {error:#}");
            }
        }
    });
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

/// Starts one as a process of its own. The program must take `serve NAME`.
///
/// # Errors
///
/// When it does not start.
pub fn start(server: Server, core: Option<usize>) -> Result<(Asked, String)> {
    let name = server.to_possible_value().context("a server without a name")?;
    let mut command = child::myself(core)?;
    command.args(["serve", name.get_name()]);
    Asked::start(command)
}
