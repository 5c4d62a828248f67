//! One run, from its assignment to its end.

mod leave;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    Fate, Machine, Stage, at,
    begun::{BEGUN, Begun},
    container::{self, Image},
    folders::CODE,
    io_error,
    log::Log,
    means_lost,
    outputs::{self, Outputs},
    persist,
    ports::{Bound, Ports},
    task::{self, Programs},
};
use api::{
    Code, Error, Result,
    jobs::SERVICE_TAG,
    lineage::RunLink,
    metrics::LogBatch,
    mirrors::Mirrors,
    work::{Assignment, Progress, ReportRun},
};
use client::{Client, inputs::remove_all};
use executor::{
    environment::{self, Place, Ready},
    local::{Claim, End, Process},
    redact::Redactor,
    spares::{self, Own},
    supervisor::Task,
    use_of::Held,
};
use leave::Ended;

/// How often the message of a long preparation is passed on.
const MESSAGE_EVERY: Duration = Duration::from_secs(2);

/// How long storing takes of which nothing is said.
const SOON: Duration = Duration::from_millis(200);

/// How long a process runs whose start is said with its end.
const SHORT: Duration = Duration::from_millis(50);

/// A run this worker has.
pub struct Execution {
    client: Client,
    machine: Machine,
    assignment: Assignment,
    fate: watch::Receiver<Fate>,
    folder: PathBuf,
    /// That the process runs and since when, while the workspace does not know yet.
    unreported: Mutex<Option<(Instant, Progress)>>,
    /// What it uses, as far as that is known and no start tells of it.
    uses: Mutex<Vec<RunLink>>,
    stage: Arc<Stage>,
    /// What stands for addresses while it goes on.
    mirrors: OnceLock<Mirrors>,
    /// Its Python environment, until it is the next run's.
    own: Mutex<Option<Own>>,
}

/// What is there before a process starts.
struct Prepared {
    outputs: Outputs,
    task: Task,
    begun: Begun,
    /// Its supervisor, where one waited.
    claim: Option<Claim>,
    /// Keeps the environment.
    _held: Option<Held>,
}

/// What a command runs in.
enum Around {
    Machine(Box<Ready>),
    Container(Box<Image>),
}

impl Execution {
    pub fn new(
        client: &Client,
        machine: &Machine,
        assignment: Assignment,
        fate: watch::Receiver<Fate>,
    ) -> Self {
        let folder = machine.settings.work().join(&assignment.workspace);
        Self {
            client: client.clone(),
            machine: machine.clone(),
            folder: folder.join(&assignment.run),
            assignment,
            fate,
            unreported: Mutex::default(),
            uses: Mutex::default(),
            stage: Arc::default(),
            mirrors: OnceLock::new(),
            own: Mutex::default(),
        }
    }

    pub fn stage(&self) -> Arc<Stage> {
        self.stage.clone()
    }

    /// Brings the run to its end and reports it. A run that is lost is stopped and not reported.
    pub async fn execute(self) {
        let mut fate = self.fate.clone();
        let done = tokio::select! {
            done = self.to_the_end() => done,
            () = turned(&mut fate, Fate::Lost) => Err(Error::conflict("The run is another worker's")),
        };
        if let Err(error) = done {
            if let Some(process) = Process::find(&self.folder) {
                process.stop();
                let _ = process.ended().await;
            }
            self.remove_containers().await;
            if error.code == Code::Full {
                // Makes room for the report.
                self.machine.folders.clear(&self.machine.settings.work());
                let _ = remove_all(&self.code());
            }
            if !means_lost(&error) {
                let _ = self
                    .report_end(Ended::failed(error.explained()), Vec::new())
                    .await;
            }
        }
        let own = self.own().take();
        let folder = self.folder.clone();
        let folders = self.machine.folders.clone();
        let work = self.machine.settings.work();
        let cleared = tokio::task::spawn_blocking(move || {
            // The next run that wants the same may have it.
            if let Some(own) = own {
                spares::keep(&own);
            }
            folders.leave(&folder, &work);
        });
        let _ = cleared.await;
    }

    async fn to_the_end(&self) -> Result<()> {
        let begun = match self.find_process().await {
            Some(process) => {
                let begun = Begun::read(&self.folder);
                *self.own() = begun.environment.as_deref().and_then(Own::find);
                if self.assignment.handle.is_none() {
                    self.note_start(&process, begun);
                    self.report_running().await?;
                }
                Ok((process, Outputs::resume(&self.code())))
            }
            None if self.assignment.handle.is_some() => Err(Ended::failed(
                "The run's process was on a machine whose worker is gone".to_owned(),
            )),
            None => self.begin().await?,
        };
        let (process, outputs) = match begun {
            Ok(begun) => begun,
            Err(ended) => {
                let logs = self.store_build_log().await;
                return self.report_end(ended, logs).await;
            }
        };
        self.watch(process, outputs).await
    }

    /// The process that a worker before this one has started.
    async fn find_process(&self) -> Option<Process> {
        let process = Process::find(&self.folder)?;
        if self.assignment.handle.is_some() {
            return Some(process);
        }
        // The machine may have gone down while the run was prepared.
        if process.may_not_have_begun() && !Begun::is_kept(&self.folder) {
            return None;
        }
        let mut fate = self.fate.clone();
        // That worker may have died before it said what to start: then it is to be started.
        let begun = tokio::select! {
            begun = process.is_begun() => begun,
            () = turned(&mut fate, Fate::Cancel) => {
                process.stop();
                process.is_begun().await
            }
        };
        begun.then_some(process)
    }

    fn code(&self) -> PathBuf {
        self.folder.join(CODE)
    }

    fn build_log(&self) -> PathBuf {
        self.folder.join("environment.log")
    }

    fn names(&self) -> (&str, &str) {
        (&self.assignment.workspace, &self.assignment.run)
    }

    fn redactor(&self) -> Redactor {
        Redactor::new(self.assignment.secrets.values())
    }

    /// Prepares and starts the process; what ends the run before that is an end, not an error.
    async fn begin(&self) -> Result<std::result::Result<(Process, Outputs), Ended>> {
        let mut fate = self.fate.clone();
        let prepared = tokio::select! {
            biased;
            () = turned(&mut fate, Fate::Cancel) => return Ok(Err(Ended::canceled())),
            prepared = self.prepare() => prepared,
        };
        // Its supervisor holds the environment from its start on.
        let Prepared {
            outputs,
            task,
            begun,
            claim,
            _held,
        } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(Ended::failed(error.explained()))),
        };
        let started = self.machine.supervisors.start(&self.folder, &task, claim);
        let process = started.await?;
        self.note_start(&process, begun);
        if !self.assignment.alone {
            self.report_running().await?;
        }
        self.machine.supervisors.make_ready();
        Ok(Ok((process, outputs)))
    }

    /// That the process runs is to be said.
    fn note_start(&self, process: &Process, begun: Begun) {
        self.note_uses(Vec::new());
        let running = Progress::Running {
            handle: process.handle(),
            node: self.machine.settings.node.clone(),
            ago_ms: 0,
            messages: begun.messages,
            uses: begun.uses,
        };
        *self.unreported() = Some((Instant::now(), running));
    }

    fn note_uses(&self, uses: Vec<RunLink>) -> Vec<RunLink> {
        let mut noted = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut noted, uses)
    }

    fn own(&self) -> MutexGuard<'_, Option<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreported(&self) -> MutexGuard<'_, Option<(Instant, Progress)>> {
        self.unreported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// That the process runs, as it is said now, unless that is done.
    fn running(&self) -> Option<Progress> {
        let (since, mut running) = self.unreported().clone()?;
        if let Progress::Running { ago_ms, .. } = &mut running {
            *ago_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
        Some(running)
    }

    /// When it is to be said that the process runs, if that is not done.
    fn say_at(&self) -> Option<Instant> {
        let unreported = self.unreported();
        unreported.as_ref().map(|(since, _)| *since + SHORT)
    }

    /// Reports that the process runs, unless that is done. On a full disk it is done later.
    async fn report_running(&self) -> Result<()> {
        let Some(running) = self.running() else {
            return Ok(());
        };
        let reported = self.report(None, running).await;
        if reported.is_ok() {
            *self.unreported() = None;
        }
        unless_full(reported)
    }

    async fn prepare(&self) -> Result<Prepared> {
        let Assignment { workspace, job, .. } = &self.assignment;
        // What a worker that was killed had begun.
        if let Err(e) = remove_all(&self.folder)
            && e.kind() != io::ErrorKind::NotFound
        {
            return Err(io_error("remove", &self.folder, &e));
        }
        self.machine.folders.make(&self.folder)?;
        let code = self.code();
        let layout = async {
            if let Some(snapshot) = job.snapshot {
                outputs::make_way(&code);
                let lay_out = || self.client.download_tree(workspace, snapshot, &code, None);
                persist(lay_out).await?;
            }
            Outputs::begin(&code)
        };
        // It comes while all else is made ready.
        let claim = async { Ok(self.machine.supervisors.claim(&self.folder).await) };
        let (claim, outputs, around, bound) =
            tokio::try_join!(claim, layout, self.around(), self.bind())?;
        let settings = &self.machine.settings;
        let start = |variables, programs: &Programs| {
            let machine = (variables, programs);
            task::of_run(settings, &self.assignment, &bound, machine, code)
        };
        let mut begun = Begun::default();
        let (mut made, held) = match around {
            Around::Machine(ready) => {
                let mut made = start(ready.variables, &Programs::OfMachine)?;
                begun.messages = ready.notes;
                begun.environment = ready.own.as_ref().map(|own| own.path().to_owned());
                made.task.holds.extend(ready.own.as_ref().map(Own::note));
                (made, ready.held)
            }
            Around::Container(image) => {
                let programs = image.programs(job).await;
                let mut made = start(Image::passed_on(settings), &programs)?;
                begun.messages.push(image.note());
                let contained = image.contain(&mut made, settings, &self.assignment, &bound);
                begun.containers = Some(contained.await?);
                (made, None)
            }
        };
        begun.messages.append(&mut made.notes);
        begun.uses = bound.uses;
        let text = serde_json::to_vec(&begun).map_err(|e| Error::internal(e.to_string()))?;
        let path = self.folder.join(BEGUN);
        fs::write(&path, text).map_err(|e| io_error("write", &path, &e))?;
        self.record_services(made.services).await?;
        Ok(Prepared {
            outputs,
            task: made.task,
            begun,
            claim,
            _held: held,
        })
    }

    /// Notes on the run where its services answer.
    async fn record_services(&self, services: Vec<(String, String)>) -> Result<()> {
        if services.is_empty() {
            return Ok(());
        }
        let tag = |(name, endpoint)| (format!("{SERVICE_TAG}{name}"), endpoint);
        let (workspace, run) = self.names();
        let log = LogBatch {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            tags: services.into_iter().map(tag).collect(),
            ..LogBatch::default()
        };
        persist(|| self.client.call(&log)).await.map(drop)
    }

    /// The inputs and outputs of a job that was described with some.
    fn ports(&self) -> Result<Option<Ports<'_>>> {
        let Some(described) = self.assignment.job.described.as_deref() else {
            return Ok(None);
        };
        if self.mirrors.get().is_none() {
            let _ = self.mirrors.set((self.machine.settings.mirrors)()?);
        }
        Ok(Some(Ports {
            client: &self.client,
            settings: &self.machine.settings,
            places: &self.machine.places,
            folders: &self.machine.folders,
            assignment: &self.assignment,
            described,
            folder: &self.folder,
            mirrors: self.mirrors.get().cloned().unwrap_or_default(),
        }))
    }

    async fn bind(&self) -> Result<Bound> {
        let Some(ports) = self.ports()? else {
            return Ok(Bound::default());
        };
        self.note_uses(ports.made_of());
        let bound = ports.bind().await?;
        self.note_uses(bound.uses.clone());
        Ok(bound)
    }

    /// Makes ready what the command runs in and passes on what people want to know meanwhile.
    async fn around(&self) -> Result<Around> {
        let (sender, mut messages) = watch::channel(String::new());
        let say = |line: &str| drop(sender.send(line.to_owned()));
        let ready = self.make_around(&say);
        tokio::pin!(ready);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                ready = &mut ready => return ready,
                Ok(()) = messages.changed() => {}
            }
            if Instant::now() >= next {
                next = Instant::now() + MESSAGE_EVERY;
                let message = messages.borrow_and_update().trim().to_owned();
                self.report(None, Progress::Preparing { message }).await?;
            }
        }
    }

    async fn make_around(&self, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Around> {
        let settings = &self.machine.settings;
        let log = self.build_log();
        let how = (settings.environments)()?;
        if container::wants(&self.assignment.job, how.container) {
            let image = Image::make(
                (&self.client, settings),
                &self.assignment,
                (&self.folder, log),
                say,
            );
            return Ok(Around::Container(Box::new(image.await?)));
        }
        let spares = settings.spares();
        let place = Place {
            home: &settings.home,
            variables: &settings.variables,
            log: &log,
            progress: say,
            spares: Some(&spares),
            settings: &how,
        };
        let ready = environment::prepare(&self.assignment.job.environment, place).await?;
        self.own().clone_from(&ready.own);
        Ok(Around::Machine(Box::new(ready)))
    }

    /// Follows the process to its end and stores what it leaves.
    async fn watch(&self, mut process: Process, mut outputs: Outputs) -> Result<()> {
        let (workspace, run) = self.names();
        let stored = self.assignment.log_length;
        let mut log = Log::new(
            &self.client,
            (workspace, run),
            &process.log(),
            self.redactor(),
            stored,
        );
        let (end, canceled) = self.follow(&process, &mut log, &mut outputs).await?;
        if matches!(&end, End::Exited(exit) if exit.stopped.is_none()) {
            self.machine.supervisors.take_back(&mut process);
        } else {
            self.remove_containers().await;
        }
        self.make_room();
        let ended = self.judge(end, &process.log(), canceled);
        self.say_before_log(&process).await?;
        let storing = self.store(ended, &process, log, outputs);
        let said = async {
            tokio::time::sleep(SOON).await;
            self.report_finalizing().await
        };
        tokio::pin!(storing, said);
        let (ended, logs) = tokio::select! {
            biased;
            stored = &mut storing => stored?,
            // Beside the storing: neither stands still while the other waits.
            said = &mut said => {
                said?;
                storing.await?
            }
        };
        self.report_end(ended, logs).await
    }

    /// Follows the process to its end; whether it was to be cancelled.
    async fn follow(
        &self,
        process: &Process,
        log: &mut Log,
        outputs: &mut Outputs,
    ) -> Result<(End, bool)> {
        let (workspace, run) = self.names();
        let ended = process.ended();
        tokio::pin!(ended);
        let mut fate = self.fate.clone();
        let mut canceled = false;
        let mut say_at = self.say_at();
        loop {
            tokio::select! {
                end = &mut ended => return Ok((end?, canceled)),
                () = at(say_at), if say_at.is_some() => {
                    say_at = None;
                    self.report_running().await?;
                }
                () = turned(&mut fate, Fate::Cancel), if !canceled => {
                    canceled = true;
                    process.stop();
                }
                () = tokio::time::sleep(log.pause()) => {
                    self.say_before_log(process).await?;
                    unless_full(log.send_new().await)?;
                }
                () = tokio::time::sleep_until(outputs.next().into()) => {
                    self.report_running().await?;
                    outputs.store_new(&self.client, workspace, run).await;
                }
            }
        }
    }

    /// Whoever follows a run hears that it runs before they see what it writes.
    async fn say_before_log(&self, process: &Process) -> Result<()> {
        if fs::metadata(process.log()).is_ok_and(|log| log.len() > 0) {
            self.report_running().await?;
        }
        Ok(())
    }

    /// What a full disk does not let through is left out.
    async fn report(&self, before: Option<Progress>, progress: Progress) -> Result<()> {
        let report = self.report_of(before, progress);
        persist(|| self.client.call(&report)).await.map(drop)
    }

    fn report_of(&self, before: Option<Progress>, progress: Progress) -> ReportRun {
        ReportRun {
            workspace: self.assignment.workspace.clone(),
            run: self.assignment.run.clone(),
            worker: self.machine.settings.name.clone(),
            before,
            progress,
            slots: None,
        }
    }

    /// Said again once there is room if a full disk did not let it through; twice is once.
    async fn report_finalizing(&self) -> Result<()> {
        let reported = self.report(self.running(), Progress::Finalizing).await;
        if reported.is_ok() {
            *self.unreported() = None;
        }
        unless_full(reported)
    }
}

/// A full disk does not keep a run from its end.
fn unless_full(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.code == Code::Full => Ok(()),
        done => done,
    }
}

/// Waits until a run's fate is this one. A worker that leaves decides nothing.
async fn turned(fate: &mut watch::Receiver<Fate>, to: Fate) {
    let seen = fate.wait_for(|fate| *fate == to).await.is_ok();
    if !seen {
        std::future::pending::<()>().await;
    }
}
