//! A TCP proxy between the nodes and the store, which cuts connections when it is told to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Proxy {
    address: SocketAddr,
    target: SocketAddr,
    /// Raised to cut all connections that are open.
    cut: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, target) = (listener.local_addr()?, (Ipv4Addr::LOCALHOST, target).into());
        let cut = watch::Sender::new(0);
        tokio::spawn(accept(listener, target, cut.subscribe()));
        Ok(Self {
            address,
            target,
            cut,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn target(&self) -> SocketAddr {
        self.target
    }

    /// Cuts every connection, in the middle of whatever goes over it.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, cut: watch::Receiver<u64>) {
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            // A client that is gone already, or too many open files: the next one may be well.
            Err(error) => {
                tracing::warn!(%error, "the proxy cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let mut cut = cut.clone();
        cut.mark_unchanged();
        tokio::spawn(async move {
            tokio::select! {
                () = forward(client, target) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

/// Until one side closes; a server that is away closes at once.
async fn forward(mut client: TcpStream, target: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
