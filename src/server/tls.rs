//! TLS of the server: a certificate from files, or one signed by the state directory's own authority.
//!
//! The authority's certificate (`ca.pem`) is what clients are told to trust. It stays the same for
//! the life of the state directory, while the server's own certificate is made anew at each start,
//! for the names the server has then, and never lies on the disk.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Datelike, Days, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use api::{Error, Result, Time};

/// How long a server's own certificate is valid; a server that runs longer renews it.
const VALID_DAYS: u64 = 365;

/// How a server speaks TLS. All clones are changed together.
#[derive(Debug, Clone)]
pub struct Config(Arc<RwLock<Arc<ServerConfig>>>);

impl Config {
    fn new(config: ServerConfig) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// What new connections speak.
    pub fn acceptor(&self) -> TlsAcceptor {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// Lets new connections speak as `newer` does.
    pub fn replace(&self, newer: &Config) {
        let newer = newer.0.read().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newer);
    }
}

/// Reads a certificate chain and its key from PEM files.
pub fn from_files(certificate: &Path, key: &Path) -> Result<Config> {
    let chain: Vec<CertificateDer> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|e| unreadable(certificate, "--tls-cert", &e))?;
    if chain.is_empty() {
        let what = format!(
            "`{}` has no certificate in PEM format",
            certificate.display()
        );
        return Err(Error::invalid(what).at("--tls-cert"));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, "--tls-key", &e))?;
    configure(chain, key)
}

fn unreadable(file: &Path, option: &str, error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("Cannot use `{}`: {error}", file.display())).at(option)
}

fn configure(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Config> {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| {
            Error::invalid(format!(
                "The certificate and its key do not work together: {e}"
            ))
            .at("--tls-key")
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Config::new(config))
}

/// The authority of a state directory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate clients are told to trust.
    pub certificate: PathBuf,
}

impl Authority {
    /// Opens the authority in `directory`, made on first use. Only its owner can read the key.
    pub fn open(directory: &Path) -> Result<Self> {
        let key_file = directory.join("ca.key");
        let pem = match fs::read_to_string(&key_file) {
            Ok(pem) => pem,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(directory).map_err(|e| failed(directory, &e))?;
                let pem = KeyPair::generate().map_err(|e| defect(&e))?.serialize_pem();
                place(&key_file, &pem, 0o600)?;
                fs::read_to_string(&key_file).map_err(|e| failed(&key_file, &e))?
            }
            Err(e) => return Err(failed(&key_file, &e)),
        };
        let key = KeyPair::from_pem(&pem).map_err(|e| {
            Error::unavailable(format!("`{}` is damaged: {e}", key_file.display()))
                .hint("Remove it with `ca.pem`, and give the new `ca.pem` to the clients")
        })?;
        let params = authority(&key);
        let certificate = directory.join("ca.pem");
        if !certificate.exists() {
            let signed = params.self_signed(&key).map_err(|e| defect(&e))?;
            place(&certificate, &signed.pem(), 0o644)?;
        }
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// Makes a certificate for a server that is called by these names and addresses.
    pub fn issue(&self, names: &[String], now: Time) -> Result<Config> {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(|e| defect(&e))?),
            });
        }
        let day = |date: DateTime<Utc>| {
            let number = |part: u32| u8::try_from(part).unwrap_or(1);
            date_time_ymd(date.year(), number(date.month()), number(date.day()))
        };
        let now = now.datetime();
        params.not_before = day(now - Days::new(1));
        params.not_after = day(now + Days::new(VALID_DAYS));
        params
            .distinguished_name
            .push(DnType::CommonName, "AMLite server");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(|e| defect(&e))?;
        let signed = params
            .signed_by(&key, &self.issuer)
            .map_err(|e| defect(&e))?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| defect(&e))?;
        configure(vec![signed.der().clone()], key)
    }
}

/// The same for the same key, so that only the key must be kept.
fn authority(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let fingerprint = blake3::hash(key.public_key_raw()).to_hex();
    let name = format!("AMLite authority {}", &fingerprint[..8]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}

/// Writes a file whole or not at all; one that another process placed first stays.
fn place(path: &Path, text: &str, mode: u32) -> Result<()> {
    let temporary = path.with_extension(uuid::Uuid::new_v4().simple().to_string());
    let placed = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _ = fs::remove_file(&temporary);
    placed.map_err(|e| failed(path, &e))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("Cannot keep `{}`: {error}", path.display()))
}

fn defect(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("Cannot make a certificate: {error}"))
}
