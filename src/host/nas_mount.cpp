#include "host/nas_mount.h"

#include <fcntl.h>

#include <boost/asio/redirect_error.hpp>

#include "base/error.h"
#include "base/log.h"

namespace virga::host {
namespace {

// FNV-1a.
std::uint64_t hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string helper_program() {
  return (fs::read_symlink("/proc/self/exe").parent_path() / "virga-nfs").string();
}

// Before a server that did not answer is tried again.
constexpr auto kPause = std::chrono::seconds(3);
constexpr auto kMoment = std::chrono::milliseconds(100);

Async<std::shared_ptr<nfs::Mount>> mount_export(const Host& host, const NasExport& source) {
  nfs::MountSpec spec;
  spec.version = source.version;
  spec.hosts = source.hosts;
  spec.path = source.path;
  spec.folder = nas_folder(host, source);
  spec.run_folder = (host.identity.run / "nfs").string();
  spec.program = helper_program();
  spec.read_only = source.read_only;
  const auto mount = [spec] { return std::make_shared<nfs::Mount>(spec); };
  co_return co_await offload(host.kernel.workers, mount);
}

}  // namespace

std::string nas_folder(const Host& host, const NasExport& source) {
  const std::string name = fmt::format("{:016x}", hash(source.name()));
  return (host.identity.state / "nfs" / name).string();
}

Async<std::shared_ptr<NasMount>> NasMount::open(Host& host, NasExport source) {
  auto mounted = co_await mount_export(host, source);
  co_return std::make_shared<NasMount>(host, std::move(source), std::move(mounted));
}

std::shared_ptr<NasMount> NasMount::await(Host& host, NasExport source, std::string failure) {
  auto awaited = std::make_shared<NasMount>(host, std::move(source), nullptr);
  awaited->failure_ = std::move(failure);
  return awaited;
}

void NasMount::follow(std::function<void()> changed) {
  spawn(host_.kernel.executor, "NFS mount", watch(shared_from_this(), std::move(changed)));
}

Async<void> NasMount::mount_when_it_can_be() {
  while (!mount_) {
    co_await sleep_for(kPause);
    if (is_unwanted_) co_return;
    is_mounting_ = true;
    try {
      mount_ = co_await mount_export(host_, source_);
    } catch (const std::exception& failure) {
      failure_ = failure.what();
    }
    is_mounting_ = false;
  }
}

Async<void> NasMount::watch(std::shared_ptr<NasMount> self, std::function<void()> changed) {
  if (!self->mount_) {
    co_await self->mount_when_it_can_be();
    changed();
  }
  if (self->is_unwanted_) co_return;
  const int fd = ::fcntl(self->mount_->fd(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw system_error(self->source_.name(), "cannot follow");
  const auto news =
      std::make_shared<asio::posix::stream_descriptor>(self->host_.kernel.executor, fd);
  self->news_ = news;
  while (news->is_open()) {
    boost::system::error_code failed;
    auto token = asio::redirect_error(asio::use_awaitable, failed);
    co_await news->async_wait(asio::posix::stream_descriptor::wait_read, token);
    if (failed) co_return;
    const std::string& failure = self->mount_->read_news();
    logger("nfs")->warn("{}: {}", self->source_.name(),
                        failure.empty() ? "the server answers" : failure);
    changed();
    if (self->mount_->fd() < 0) co_return;  // no more news will come
  }
}

Async<void> NasMount::unmount() {
  is_unwanted_ = true;
  while (is_mounting_) co_await sleep_for(kMoment);
  if (news_) news_->close();
  if (!mount_) co_return;
  const auto mount = mount_;
  const auto take_away = [mount] { mount->unmount(); };
  co_await offload(host_.kernel.workers, take_away);
}

}  // namespace virga::host
