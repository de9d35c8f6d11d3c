use std::{io, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// What a connection runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Why dialing failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host's name has no address.
    #[error("the host name could not be resolved")]
    Resolve(#[source] io::Error),
    /// The address is not `host:port`.
    #[error("not an address of the form host:port")]
    Address,
    /// Connecting failed.
    #[error("connecting failed")]
    Io(#[from] io::Error),
}

/// Opens streams to addresses. Replace it to run over something else than TCP: in memory, through a proxy, with faults.
///
/// A closure from an address to a future of a stream is one.
pub trait Dialer: Send + Sync + 'static {
    /// Opens a stream. The caller limits the time.
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Box<dyn Stream>, DialError>>;
}

impl<F, Fut, S> Dialer for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
    S: Stream,
{
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Box<dyn Stream>, DialError>> {
        let dialing = self(address.to_owned());
        Box::pin(async move { Ok(Box::new(dialing.await?) as Box<dyn Stream>) })
    }
}

impl Dialer for Arc<dyn Dialer> {
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Box<dyn Stream>, DialError>> {
        (**self).dial(address)
    }
}

/// TCP: every address of a host name is tried; no delay, keep-alive, and a limit on unacknowledged data, so that a peer that
/// vanished is noticed without traffic (R2).
#[derive(Clone, Debug)]
pub struct TcpDialer {
    silence_timeout: Duration,
}

impl TcpDialer {
    /// With the time after which a silent peer counts as gone.
    pub fn new(silence_timeout: Duration) -> Self {
        Self { silence_timeout }
    }
}

impl Dialer for TcpDialer {
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Box<dyn Stream>, DialError>> {
        let (address, silence_timeout) = (address.to_owned(), self.silence_timeout);
        Box::pin(async move {
            let well_formed =
                address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !well_formed {
                return Err(DialError::Address);
            }
            let addresses = tokio::net::lookup_host(&address).await.map_err(DialError::Resolve)?;
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        configure(&stream, silence_timeout)?;
                        return Ok(Box::new(stream) as Box<dyn Stream>);
                    }
                    Err(error) => last = error,
                }
            }
            Err(DialError::Io(last))
        })
    }
}

fn configure(stream: &TcpStream, silence_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let third = (silence_timeout / 3).max(Duration::from_secs(1));
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(third).with_interval(third))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(silence_timeout))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// R2: without traffic it is the system that notices, by probes and by what nobody acknowledges.
    #[tokio::test]
    async fn r2_the_system_gives_up_on_a_peer_that_vanished_after_the_silence_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it connects");
        configure(&stream, Duration::from_secs(15)).expect("options that the system knows");
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().expect("it can be read"));
        assert!(stream.nodelay().expect("it can be read"));
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_user_timeout().expect("it can be read"), Some(Duration::from_secs(15)));
            assert_eq!(socket.tcp_keepalive_time().expect("it can be read"), Duration::from_secs(5));
            assert_eq!(socket.tcp_keepalive_interval().expect("it can be read"), Duration::from_secs(5));
        }
    }
}
