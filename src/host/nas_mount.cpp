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

}  // namespace

std::string nas_folder(const Host& host, const NasExport& source) {
  const std::string name = fmt::format("{:016x}", hash(source.name()));
  return (host.identity.state / "nfs" / name).string();
}

Async<std::shared_ptr<NasMount>> NasMount::open(Host& host, NasExport source) {
  nfs::MountSpec spec;
  spec.version = source.version;
  spec.hosts = source.hosts;
  spec.path = source.path;
  spec.folder = nas_folder(host, source);
  spec.run_folder = (host.identity.run / "nfs").string();
  spec.program = helper_program();
  spec.read_only = source.read_only;
  const auto mount = [spec] { return std::make_shared<nfs::Mount>(spec); };
  auto mounted = co_await offload(host.kernel.workers, mount);
  co_return std::make_shared<NasMount>(host, std::move(source), std::move(mounted));
}

void NasMount::follow(std::function<void()> changed) {
  const int news = ::fcntl(mount_->fd(), F_DUPFD_CLOEXEC, 0);
  if (news < 0) throw system_error(source_.name(), "cannot follow");
  news_ = std::make_shared<asio::posix::stream_descriptor>(host_.kernel.executor, news);
  spawn(host_.kernel.executor, "NFS mount", watch(shared_from_this(), std::move(changed)));
}

Async<void> NasMount::watch(std::shared_ptr<NasMount> self, std::function<void()> changed) {
  const auto news = self->news_;
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
  if (news_) news_->close();
  const auto mount = mount_;
  const auto take_away = [mount] { mount->unmount(); };
  co_await offload(host_.kernel.workers, take_away);
}

}  // namespace virga::host
