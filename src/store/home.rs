//! The state directory: what lies where, its key file and its locks.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use api::{Error, Result};

/// Before the address in the note of a server.
const SERVER_AT: &str = " at ";

/// The state directory. Only its owner can read it.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Makes the directory when it is not there. One that was made for it is closed to others; one
    /// that holds other things keeps its permissions, and what is made in it is closed.
    pub fn open(root: PathBuf) -> Result<Self> {
        if root.is_file() {
            let message = format!("The state directory `{}` is a file", root.display());
            return Err(Error::unavailable(message).hint("Name a folder: set AML_HOME"));
        }
        private_dir(&root)?;
        let home = Self { root };
        if home.is_open_to_others() && is_empty(&home.root) {
            let closed = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&home.root, closed)
                .map_err(|e| io_error("close to others", &home.root, &e))?;
        }
        Ok(home)
    }

    /// Whether others can see what lies in the directory.
    pub fn is_open_to_others(&self) -> bool {
        fs::metadata(&self.root).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }

    /// The directory as it is, made or not.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn database(&self) -> PathBuf {
        self.root.join("aml.db")
    }

    /// Content-addressed files and packs.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// What the storage account of a workspace holds: a folder for each container.
    pub fn storage(&self, workspace: &str) -> PathBuf {
        self.root.join("storage").join(workspace)
    }

    /// Logs of runs, as `<workspace id>/<run id>.log`.
    pub fn run_log(&self, workspace: i64, run: i64) -> PathBuf {
        self.root
            .join("logs")
            .join(workspace.to_string())
            .join(format!("{run}.log"))
    }

    /// What the host of an endpoint writes and locks.
    pub fn endpoint(&self, endpoint: i64) -> PathBuf {
        self.endpoints().join(endpoint.to_string())
    }

    pub fn endpoints(&self) -> PathBuf {
        self.root.join("endpoints")
    }

    pub fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }

    /// Held by the host while it lives.
    pub fn endpoint_lock(&self, endpoint: i64) -> PathBuf {
        self.endpoint(endpoint).join("lock")
    }

    /// What the host and the front write of no deployment.
    pub fn endpoint_log(&self, endpoint: i64) -> PathBuf {
        self.endpoint(endpoint).join("log")
    }

    /// Gets another time whenever the host shall look at its orders.
    pub fn endpoint_stamp(&self, endpoint: i64) -> PathBuf {
        self.endpoint(endpoint).join("stamp")
    }

    /// What the front has counted of each deployment.
    pub fn endpoint_loads(&self, endpoint: i64) -> PathBuf {
        self.endpoint(endpoint).join("loads.json")
    }

    /// What a deployment's processes write, and what its requests came to.
    pub fn deployment_log(&self, endpoint: i64, deployment: i64) -> PathBuf {
        self.endpoint(endpoint).join(format!("d{deployment}.log"))
    }

    /// A line for each request of an endpoint.
    pub fn access_log(&self, endpoint: i64) -> PathBuf {
        self.endpoint(endpoint).join("access.log")
    }

    /// What was measured of a deployment.
    pub fn deployment_measures(&self, endpoint: i64, deployment: i64) -> PathBuf {
        self.endpoint(endpoint)
            .join(format!("d{deployment}.measures"))
    }

    /// What the package that collects data reads in a deployment's processes.
    pub fn deployment_collector(&self, endpoint: i64, deployment: i64) -> PathBuf {
        self.endpoint(endpoint)
            .join(format!("d{deployment}.collector"))
    }

    /// Names the environment that a deployment is served in.
    pub fn deployment_environment(&self, endpoint: i64, deployment: i64) -> PathBuf {
        self.endpoint(endpoint)
            .join(format!("d{deployment}.environment"))
    }

    pub fn worker_lock(&self, worker: &str) -> PathBuf {
        self.workers().join(format!("{worker}.lock"))
    }

    /// Held by a process that sends to webhooks.
    pub fn sender_lock(&self, sender: &str) -> PathBuf {
        self.root.join("senders").join(format!("{sender}.lock"))
    }

    /// Held by the server of this state directory.
    pub fn server_lock(&self) -> PathBuf {
        self.root.join("server.lock")
    }

    /// The address of the server that has this state directory open, if one has.
    pub fn server_url(&self) -> Option<String> {
        let note = Lock::holder(&self.server_lock())?;
        note.split_once(SERVER_AT).map(|(_, url)| url.to_owned())
    }

    /// What the holder of [`Home::server_lock`] notes.
    pub fn server_note(url: &str) -> String {
        format!("server, process {}{SERVER_AT}{url}", std::process::id())
    }

    /// The server's own certificate authority.
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// Makes the key of a state directory that has no database yet, unless another process has. So
    /// a database without a key has lost it.
    pub fn prepare_key(&self) -> Result<()> {
        if self.database().exists() || self.key_file().exists() {
            return Ok(());
        }
        create_key(&self.key_file())
    }

    /// The key that seals secrets: 32 random bytes.
    pub fn key(&self) -> Result<[u8; 32]> {
        let path = self.key_file();
        let unusable = |what: &str| {
            Error::unavailable(format!("`{}` {what}", path.display())).hint(
                "Restore it from a copy of the state directory: secrets, endpoint keys and tokens \
                 cannot be read without it, and a new key would not open them",
            )
        };
        let mut key = [0; 32];
        match File::open(&path).and_then(|mut file| file.read_exact(&mut key)) {
            Ok(()) => Ok(key),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(unusable("is missing")),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(unusable("is damaged")),
            Err(e) => Err(io_error("read", &path, &e)),
        }
    }

    fn key_file(&self) -> PathBuf {
        self.root.join("vault.key")
    }
}

/// Several processes may come here at once: the first link wins, all read its key.
fn create_key(path: &Path) -> Result<()> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| Error::internal(format!("No random numbers: {e}")))?;
    let temporary = path.with_extension(uuid::Uuid::new_v4().simple().to_string());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()))
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _ = fs::remove_file(&temporary);
    written.map_err(|e| io_error("write", path, &e))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Makes a directory, and those above it, that only the owner can enter.
pub fn private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| io_error("make", path, &e))
}

/// Makes an empty file that only the owner can read, or closes the one that is there, and SQLite's
/// beside it, to others:
/// SQLite's own would be for everybody who can enter the folder, which may have been there before
/// with other permissions. SQLite gives the files beside it the same mode.
pub fn private_file(path: &Path) -> Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            for ending in ["", "-wal", "-shm"] {
                let mut beside = path.as_os_str().to_owned();
                beside.push(ending);
                close_to_others(Path::new(&beside));
            }
            Ok(())
        }
        Err(e) => Err(io_error("make", path, &e)),
    }
}

fn close_to_others(path: &Path) {
    let open = |meta: fs::Metadata| meta.permissions().mode() & 0o077 != 0;
    if fs::metadata(path).is_ok_and(open) {
        // Of another owner it cannot be, and then it is not ours to close.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    }
}

/// What helps when the disk of the state directory is full. Deleting writes down what goes first.
pub const MAKE_ROOM: &str = "Free some space on that disk outside the state directory (`aml run delete` and \
                             `aml gc` need some themselves), or move the state directory: set AML_HOME";

/// Says what a failed file operation means to the person who meets it.
pub fn io_error(verb: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("Cannot {verb} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => Error::full(message).hint(MAKE_ROOM),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::unavailable(
            message,
        )
        .hint("Check its owner and permissions, or choose another state directory: set AML_HOME"),
        _ => Error::unavailable(message),
    }
}

/// Who only looks whether a lock is held shares it for an instant, longer when the machine is busy.
const LOOKS: u32 = 2000;
const LOOK: Duration = Duration::from_millis(5);

/// A lock file held by this process; free again when it is dropped or the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock if nobody has it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        if let Some(parent) = path.parent() {
            private_dir(parent)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|e| io_error("open", path, &e))?;
        for _ in 0..LOOKS {
            match file.try_lock() {
                Ok(()) => {
                    // What the one before has noted is true no more.
                    file.set_len(0).map_err(|e| io_error("write", path, &e))?;
                    return Ok(Some(Self { file }));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(io_error("lock", path, &e)),
            }
            // A holder shares it with nobody.
            if file.try_lock_shared().is_err() {
                return Ok(None);
            }
            file.unlock().map_err(|e| io_error("unlock", path, &e))?;
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// Lets others know who holds it. A failure does not count: at worst nobody takes over from a holder
    /// that is killed until a command looks.
    pub fn note(&self, who: &str) {
        let _ = self.file.write_all_at(who.as_bytes(), 0);
        let _ = self.file.set_len(who.len() as u64);
    }

    /// What a living process that holds it noted.
    pub fn holder(path: &Path) -> Option<String> {
        Self::is_held(path).then(|| fs::read_to_string(path).unwrap_or_default())
    }

    /// What the last holder noted, when nobody holds it.
    pub fn abandoned(path: &Path) -> Option<String> {
        if Self::is_held(path) {
            return None;
        }
        fs::read_to_string(path).ok()
    }

    /// Whether a living process holds it. Where that cannot be found out, as when no more files can be
    /// opened, it may, and nothing must be taken from it.
    pub fn is_held(path: &Path) -> bool {
        match File::open(path) {
            Ok(file) => file.try_lock_shared().is_err(),
            Err(e) => !matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        }
    }
}
