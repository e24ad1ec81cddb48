#include "host/daemon.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/process_lock.h"
#include "base/uuid.h"
#include "host/console.h"
#include "host/datastore.h"
#include "host/datastore_files.h"
#include "host/environment_browser.h"
#include "host/file_manager.h"
#include "host/host.h"
#include "host/guest_auth_manager.h"
#include "host/guest_file_manager.h"
#include "host/guest_file_transfers.h"
#include "host/guest_operations_manager.h"
#include "host/guest_process_manager.h"
#include "host/host_auto_start_manager.h"
#include "host/host_datastore_browser.h"
#include "host/host_datastore_system.h"
#include "host/host_graphics_manager.h"
#include "host/host_local_account_manager.h"
#include "host/host_network_system.h"
#include "host/host_pci_passthru_system.h"
#include "host/host_storage_system.h"
#include "host/host_system.h"
#include "host/license_manager.h"
#include "host/metrics.h"
#include "host/names.h"
#include "host/nfc_service.h"
#include "host/ovf_manager.h"
#include "host/service_instance.h"
#include "host/statistics.h"
#include "host/storage_io_arbiter.h"
#include "host/virtual_disk_manager.h"
#include "host/virtual_machine.h"
#include "hypervisor/qemu/qemu_hypervisor.h"
#include "hypervisor/sim/sim_hypervisor.h"
#include "kernel/accounts.h"
#include "kernel/authorization_manager.h"
#include "kernel/management_services.h"
#include "kernel/property_services.h"
#include "kernel/sdk_service.h"
#include "kernel/session_manager.h"
#include "switching/ovs/ovs_switching.h"
#include "switching/sim/sim_switching.h"
#include "wire/certificate.h"
#include "wire/http_server.h"

namespace virga::host {
namespace {

constexpr auto kServerGrace = std::chrono::seconds(2);
// How long a guest may take to shut down before its plug is pulled.
constexpr auto kShutdownPatience = std::chrono::seconds(60);
constexpr const char* kFirstDatastore = "datastore1";
constexpr const char* kEndpoint = "endpoint";  // where it serves, while it does

// One daemon per state folder.
Fd lock_state(const fs::path& state) {
  Fd lock = open_file(state / "virga-host.pid", O_RDWR | O_CREAT, 0644);
  if (!take_process_lock(lock))
    throw error(ErrorKind::busy, state.string(), "another virga-host serves {}", state.string());
  if (::ftruncate(lock.get(), 0) != 0) throw system_error(state.string(), "cannot write to");
  write_all(lock.get(), std::to_string(::getpid()) + "\n", "virga-host.pid");
  return lock;
}

Identity identify(kernel::Database& database, const fs::path& state, bool simulated) {
  Identity identity;
  identity.uuid = database.get("host", "uuid").value_or("");
  if (identity.uuid.empty()) {
    identity.uuid = make_uuid();
    database.put("host", "uuid", identity.uuid);
  }
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  identity.name = *name ? name : "localhost";
  identity.state = fs::absolute(state);
  // Unix socket paths end at 107 bytes, so what runs now has a short path of its own.
  identity.run = fs::path("/run/virga") / identity.uuid.substr(0, 8);
  identity.simulated = simulated;
  return identity;
}

// What still waits in it can be dropped while what it refers to is there.
class Loop : public asio::io_context {
 public:
  using asio::io_context::shutdown;
};

class Daemon {
 public:
  explicit Daemon(const DaemonOptions& options)
      : options_(options),
        lock_(lock_state(options.state)),
        kernel_(io_.get_executor()),
        signals_(io_, SIGINT, SIGTERM, SIGUSR1) {
    signals_.add(SIGHUP);
  }
  ~Daemon();

  void run();

 private:
  Async<void> live();
  Async<void> start();
  Async<void> set_root_password();
  void make_services();
  void make_engines();
  void read_certificates();
  Async<void> restore();
  void serve();
  Async<void> wait_for_signal();
  Async<void> end_everything();
  Async<void> shut_down_guests();
  Async<void> shut_down(std::shared_ptr<VirtualMachine> vm);

  const DaemonOptions options_;
  Fd lock_;
  Loop io_;       // the kernel's, run by the main thread
  Loop network_;  // connections
  kernel::Kernel kernel_;
  // From the very start: who is asked to end while starting ends when all is up, in order.
  asio::signal_set signals_;
  std::unique_ptr<Host> host_;
  std::shared_ptr<kernel::SessionManager> session_manager_;
  std::shared_ptr<HostNetworkSystem> network_system_;
  std::shared_ptr<HostPciPassthruSystem> pci_passthru_system_;
  std::unique_ptr<Statistics> statistics_;
  std::unique_ptr<StorageIoArbiter> storage_io_arbiter_;
  std::unique_ptr<GuestFileTransfers> guest_transfers_;
  std::unique_ptr<kernel::SdkService> sdk_;
  std::unique_ptr<DatastoreFiles> files_;
  std::unique_ptr<wire::HttpServer> server_;
  fs::path password_file_;
};

Async<void> Daemon::set_root_password() {
  password_file_ =
      options_.password_file.empty() ? options_.state / "root-password" : options_.password_file;
  if (options_.password_file.empty() && !fs::exists(password_file_))
    write_file_atomically(password_file_, random_hex(12) + "\n", 0600);
  std::string password = read_file(password_file_, 4096);
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r'))
    password.pop_back();
  if (password.empty())
    throw error(ErrorKind::invalid_argument, password_file_.string(), "{} holds no password",
                password_file_.string());
  const bool present = kernel_.accounts->find("root").has_value();
  if (present && options_.password_file.empty()) co_return;  // root may have changed it since
  co_await kernel_.accounts->set_password("root", password);
}

void Daemon::make_engines() {
  if (options_.simulated) {
    host_->hypervisor = hypervisor::make_sim_hypervisor(
        io_.get_executor(), {.state_directory = (host_->identity.state / "simulated").string()});
    host_->switching = switching::make_sim_switching();
    return;
  }
  fs::create_directories(host_->identity.run);
  hypervisor::QemuOptions qemu;
  qemu.run_directory = (host_->identity.run / "vm").string();
  qemu.option_roms =
      (fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "firmware").string();
  host_->hypervisor = hypervisor::make_qemu_hypervisor(io_.get_executor(), qemu);
  switching::OvsOptions ovs;
  ovs.instance = host_->identity.uuid;
  ovs.state_dir = host_->identity.state / "network";
  ovs.run_dir = host_->identity.run / "network";
  host_->switching = switching::make_ovs_switching(io_.get_executor(), kernel_.workers, ovs);
}

void Daemon::make_services() {
  auto& inventory = kernel_.inventory;
  inventory.emplace<ServiceInstance>(*host_);
  kernel::add_property_services(kernel_, {names::property_collector.value,
                                          names::view_manager.value, names::search_index.value});
  const auto authorization = inventory.emplace<kernel::AuthorizationManager>(
      kernel_, names::authorization_manager, "root");
  session_manager_ = inventory.emplace<kernel::SessionManager>(kernel_, names::session_manager);
  kernel::add_management_services(kernel_, {names::task_manager.value, names::event_manager.value,
                                            names::user_directory.value, names::settings.value});
  inventory.emplace<HostLocalAccountManager>(*host_, *authorization);
  inventory.emplace<FileManager>(*host_);
  inventory.emplace<VirtualDiskManager>(*host_);
  inventory.emplace<GuestOperationsManager>(*host_);
  inventory.emplace<GuestAuthManager>(*host_);
  inventory.emplace<GuestProcessManager>(*host_);
  guest_transfers_ = std::make_unique<GuestFileTransfers>(*host_);
  inventory.emplace<GuestFileManager>(*host_, *guest_transfers_);
  inventory.emplace<LicenseManager>(*host_);
  inventory.emplace<OvfManager>(*host_);
  inventory.emplace<EnvironmentBrowser>(*host_);
  host_->datastore_system = inventory.emplace<HostDatastoreSystem>(*host_);
  network_system_ = inventory.emplace<HostNetworkSystem>(*host_);
  host_->storage_system = inventory.emplace<HostStorageSystem>(*host_);
  pci_passthru_system_ = inventory.emplace<HostPciPassthruSystem>(*host_);
  host_->graphics_manager = inventory.emplace<HostGraphicsManager>(*host_);
  inventory.emplace<HostAutoStartManager>(*host_);
  statistics_ = std::make_unique<Statistics>(*host_);
  storage_io_arbiter_ = std::make_unique<StorageIoArbiter>(*host_);
}

Async<void> Daemon::restore() {
  co_await network_system_->start();
  co_await host_->storage_system->start();
  co_await pci_passthru_system_->start();
  co_await restore_datastores(*host_);
  if (host_->datastores.empty()) {
    const fs::path folder = host_->identity.state / kFirstDatastore;
    fs::create_directories(folder);
    open_datastore(*host_, kFirstDatastore, folder.string());
  }
  co_await restore_virtual_machines(*host_);
  co_await host_->graphics_manager->start();
}

Async<void> Daemon::start() {
  kernel_.database = std::make_shared<kernel::Database>(options_.state / "virga.db");
  kernel_.accounts = std::make_shared<kernel::Accounts>(kernel_.database, kernel_.workers);
  kernel_.events = std::make_shared<kernel::EventLog>(kernel_.inventory, kernel_.database);
  co_await set_root_password();
  host_ = std::make_unique<Host>(kernel_,
                                 identify(*kernel_.database, options_.state, options_.simulated));
  host_->facts = co_await offload(kernel_.workers, [] { return hypervisor::probe_host(); });
  make_engines();
  host_->capabilities = co_await host_->hypervisor->capabilities();
  build_inventory(*host_);
  make_services();
  read_certificates();
  co_await restore();
}

void Daemon::read_certificates() {
  wire::CertificateStore store(options_.state / "tls");
  std::vector<std::string> names = {host_->identity.name, "localhost", "127.0.0.1"};
  if (options_.address != "127.0.0.1" && options_.address != "0.0.0.0" && options_.address != "::")
    names.push_back(options_.address);
  host_->certificate = store.server(names);
  host_->authority = store.authority().certificate;
  write_file_atomically(options_.state / "ca.pem", host_->authority);
}

void Daemon::serve() {
  const wire::Certificate& certificate = host_->certificate;
  const auto thumbprint = wire::inspect_certificate(certificate.certificate).sha1_thumbprint;
  host_->consoles = std::make_shared<ConsoleTable>(*host_, thumbprint);
  host_->nfc = std::make_shared<NfcService>(*host_, thumbprint);

  wire::ServerOptions server;
  server.certificate = certificate.certificate;
  server.key = certificate.key;
  server_ = std::make_unique<wire::HttpServer>(network_.get_executor(), server);
  sdk_ = std::make_unique<kernel::SdkService>(kernel_);
  sdk_->serve(*server_);
  files_ = std::make_unique<DatastoreFiles>(*host_, *session_manager_, *sdk_);
  files_->serve(*server_);
  guest_transfers_->serve(*server_);
  host_->consoles->serve(*server_, *sdk_);
  host_->nfc->serve(*server_);
  serve_metrics(*host_, *server_);
  const auto port = server_->listen(options_.address, options_.port);
  statistics_->start();
  storage_io_arbiter_->start();
  spawn(host_->kernel.executor, "watch over snapshots", watch_snapshots(*host_));
  const std::string password_file = fs::absolute(password_file_).lexically_normal().string();
  write_file_atomically(options_.state / kEndpoint,
                        fmt::format("{}\n{}\n{}\n", options_.address, port, password_file));
  const bool ipv6 = options_.address.find(':') != std::string::npos;
  const std::string address = ipv6 ? "[" + options_.address + "]" : options_.address;
  std::cout << fmt::format("ready https://{}:{}/ user root password-file {}", address, port,
                           password_file)
            << std::endl;
}

Async<void> Daemon::shut_down(std::shared_ptr<VirtualMachine> vm) {
  hypervisor::Machine* machine = vm->machine();
  if (!machine) co_return;
  bool asked = false;
  try {
    co_await machine->shutdown_guest();
    asked = true;
  } catch (const Error& failure) {
    logger("host")->warn("{}: {}", vm->properties().name, failure.what());
  }
  const auto deadline = std::chrono::steady_clock::now() + kShutdownPatience;
  while (asked && vm->powered_on() && std::chrono::steady_clock::now() < deadline)
    co_await vm->wait_for_end(deadline - std::chrono::steady_clock::now());
  if (vm->machine()) co_await vm->machine()->power_off();
  while (vm->powered_on()) co_await vm->wait_for_end(kShutdownPatience);
}

Async<void> Daemon::shut_down_guests() {
  std::size_t left = host_->virtual_machines.size();
  std::exception_ptr failure;
  Signal all_down(io_.get_executor());
  for (const auto& [ref, vm] : host_->virtual_machines) {
    asio::co_spawn(io_, shut_down(vm), [&](std::exception_ptr thrown) {
      if (thrown) failure = thrown;
      if (--left == 0) all_down.notify();
    });
  }
  if (left > 0) co_await all_down.wait();
  if (failure) std::rethrow_exception(failure);
}

Async<void> Daemon::end_everything() {
  co_await shut_down_guests();
  co_await host_->switching->stop();
  if (!options_.simulated) fs::remove_all(host_->identity.run);
}

Async<void> Daemon::wait_for_signal() {
  const int signal = co_await signals_.async_wait(asio::use_awaitable);
  const bool everything = signal == SIGUSR1;
  logger("host")->info(
      "signal {}: {}", signal,
      everything ? "guests are shut down and everything stops" : "the daemon ends, guests run on");
  co_await run_on(network_.get_executor(), server_->stop(kServerGrace));
  for (const auto& [ref, vm] : host_->virtual_machines) vm->withdraw_question();
  co_await kernel_.tasks.drain();
  co_await storage_io_arbiter_->release();
  if (everything)
    co_await end_everything();
  else
    co_await host_->switching->release();
  kernel_.database->flush();
  fs::remove(options_.state / kEndpoint);
}

Async<void> Daemon::live() {
  std::exception_ptr failure;
  try {
    co_await start();
    if (options_.down) {
      co_await end_everything();
    } else {
      serve();
      co_await wait_for_signal();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  if (host_ && host_->switching) co_await host_->switching->release();
  std::rethrow_exception(failure);
}

// Every connection is an open file, and so is every guest's socket; what is usual is 1024.
void allow_many_files() {
  constexpr rlim_t wanted = 1 << 16;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::max(files.rlim_cur, std::min(files.rlim_max, wanted));
  ::setrlimit(RLIMIT_NOFILE, &files);
}

void Daemon::run() {
  std::signal(SIGPIPE, SIG_IGN);
  allow_many_files();
  auto work = asio::make_work_guard(network_);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([this] { network_.run(); });
  std::exception_ptr failure;
  asio::co_spawn(io_, live(), [&](std::exception_ptr thrown) {
    failure = thrown;
    io_.stop();
  });
  io_.run();
  work.reset();
  network_.stop();
  threads.clear();
  if (failure) std::rethrow_exception(failure);
  if (::ftruncate(lock_.get(), 0) != 0) throw system_error("virga-host.pid", "cannot write to");
}

// Nothing runs any more. What waits (for timers, clients, guests that run on) refers to the
// objects, and what blocks comes back to what waits.
Daemon::~Daemon() {
  kernel_.readers.join();
  kernel_.workers.join();
  if (host_) host_->hypervisor.reset();
  if (host_ && host_->storage_system) host_->storage_system->stop();
  network_.shutdown();
  io_.shutdown();
}

}  // namespace

void run_daemon(const DaemonOptions& options) {
  // The 16 MiB that checking a password takes go back to the system afterwards. Left alone, glibc
  // learns from the first check to keep as much in the heap of every thread.
  ::mallopt(M_MMAP_THRESHOLD, 16 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 32 << 20);
  fs::create_directories(options.state);
  Daemon(options).run();
}

}  // namespace virga::host
