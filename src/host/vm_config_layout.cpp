// The files a configuration means.
#include "host/vm_config.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

class Layout {
 public:
  explicit Layout(const ConfigContext& context) : context_(context) {}

  // The key by which the rest of the layout means the file.
  int add(const vmx::DatastorePath& path, const char* type) {
    vim::VirtualMachineFileLayoutExFileInfo& file = layout_.file.emplace_back();
    file.key = next_key_++;
    file.name = path.format();
    file.type = type;
    file.accessible = true;
    return file.key;
  }
  // A file of the .vmx; nothing for one it does not have.
  void add(const std::string& file, const char* type) {
    if (file.empty()) return;
    if (const auto path = find_file(context_, file)) add(*path, type);
  }

  void add(const vmx::Disk& disk) {
    const auto path = find_file(context_, disk.file);
    if (!path) return;
    model::Array<std::int32_t> files = {add(*path, "diskDescriptor")};
    if (const auto info = context_.disk(*path)) {
      for (const std::string& extent : info->extents)
        files.push_back(add(vmx::DatastorePath(path->datastore(), extent), "diskExtent"));
    }
    vim::VirtualMachineFileLayoutExDiskLayout& layout = layout_.disk.emplace_back();
    layout.key = device_key(disk);
    layout.chain.emplace_back().fileKey = std::move(files);
  }

  vim::VirtualMachineFileLayoutEx take() { return std::move(layout_); }

 private:
  const ConfigContext& context_;
  vim::VirtualMachineFileLayoutEx layout_;
  int next_key_ = 0;
};

}  // namespace

vim::VirtualMachineFileLayoutEx file_layout(const vmx::MachineConfig& config,
                                            const ConfigContext& context) {
  Layout layout(context);
  layout.add(context.config_file, "config");
  layout.add(config.extended_config, "extendedConfig");
  layout.add(config.nvram, "nvram");
  layout.add(context.config_file.sibling(context.config_file.stem() + ".vmsd"), "snapshotList");
  for (const vmx::Disk& disk : config.disks) layout.add(disk);
  layout.add(config.suspend_state, "suspend");
  layout.add(context.config_file.sibling("vmware.log"), "log");
  return layout.take();
}

}  // namespace virga::host
