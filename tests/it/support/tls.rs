//! A site with TLS on a free loopback port, under a certificate made for it alone.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take, for which others wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes a certificate for a host, with its key.
pub fn make_certificate(host: &str, key: &Path, certificate: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", &format!("/CN={host}")])
        .args(["-addext", &format!("subjectAltName=DNS:{host}")])
        // Its own authority is trusted by name and key; who serves by it must not be one.
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl, which `tests/run` installs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub struct Listener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener {
    /// Listens as a host.
    pub async fn bind(host: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (key, certificate) = (dir.path().join("key"), dir.path().join("certificate"));
        make_certificate(host, &key, &certificate);
        let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a key that fits");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.tcp.local_addr().expect("it is bound")
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else { continue };
            // One that connects and does not go on is left: browsers do that, ahead of need.
            let shaken = tokio::time::timeout(PATIENCE, self.acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
