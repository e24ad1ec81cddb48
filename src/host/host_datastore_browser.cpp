#include "host/host_datastore_browser.h"

#include "datastore/files.h"
#include "datastore/virtual_disk.h"
#include "host/datastore.h"
#include "host/disk_types.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

using datastore::FileKind;

model::Time to_time(std::chrono::system_clock::time_point at) {
  return std::chrono::time_point_cast<model::Time::duration>(at);
}

vim::VmDiskFileInfo describe_disk(const datastore::FileInfo& file) {
  vim::VmDiskFileInfo info;
  if (!file.disk) return info;
  info.diskType = disk_backing_type(*file.disk);
  info.capacityKb = static_cast<std::int64_t>(file.disk->capacity >> 10);
  info.hardwareVersion = file.disk->hardware_version;
  info.controllerType = controller_type(file.disk->adapter);
  info.diskExtents = file.disk->extents;
  info.thin = file.disk->provisioning == datastore::Provisioning::thin;
  return info;
}

model::Ptr<vim::FileInfo> typed(const datastore::FileInfo& file) {
  const auto as = [](auto value) { return model::Ptr<vim::FileInfo>(model::share(std::move(value)).data()); };
  switch (file.kind) {
    case FileKind::folder: return as(vim::FolderFileInfo{});
    case FileKind::vm_config: {
      vim::VmConfigFileInfo info;
      info.configVersion = file.hardware_version;
      return as(std::move(info));
    }
    case FileKind::vm_template: return as(vim::TemplateConfigFileInfo{});
    case FileKind::disk: return as(describe_disk(file));
    case FileKind::iso_image: return as(vim::IsoImageFileInfo{});
    case FileKind::floppy_image: return as(vim::FloppyImageFileInfo{});
    case FileKind::nvram: return as(vim::VmNvramFileInfo{});
    case FileKind::log: return as(vim::VmLogFileInfo{});
    case FileKind::snapshot: return as(vim::VmSnapshotFileInfo{});
    case FileKind::other: break;
  }
  return as(vim::FileInfo{});
}

// Whether a file is of a kind that the client asked for; every file is without a query.
bool wanted(const vim::HostDatastoreBrowserSearchSpec* spec, FileKind kind) {
  if (!spec || spec->query.empty()) return true;
  const auto asks = [&](const model::Ptr<vim::FileQuery>& query) {
    switch (kind) {
      case FileKind::folder: return query.as<vim::FolderFileQuery>() != nullptr;
      case FileKind::vm_config: return query.as<vim::VmConfigFileQuery>() != nullptr &&
                                       !query.as<vim::TemplateConfigFileQuery>();
      case FileKind::vm_template: return query.as<vim::TemplateConfigFileQuery>() != nullptr;
      case FileKind::disk: return query.as<vim::VmDiskFileQuery>() != nullptr;
      case FileKind::iso_image: return query.as<vim::IsoImageFileQuery>() != nullptr;
      case FileKind::floppy_image: return query.as<vim::FloppyImageFileQuery>() != nullptr;
      case FileKind::nvram: return query.as<vim::VmNvramFileQuery>() != nullptr;
      case FileKind::log: return query.as<vim::VmLogFileQuery>() != nullptr;
      case FileKind::snapshot: return query.as<vim::VmSnapshotFileQuery>() != nullptr;
      case FileKind::other: return false;
    }
    return false;
  };
  for (const auto& query : spec->query) {
    const bool plain = &query->type_info() == &vim::FileQuery::static_type();
    if (plain || asks(query)) return true;
  }
  return false;
}

vim::HostDatastoreBrowserSearchResults results(const MoRef& datastore, const std::string& name,
                                               const datastore::Listing& listing,
                                               const vim::HostDatastoreBrowserSearchSpec* spec) {
  vim::HostDatastoreBrowserSearchResults found;
  found.datastore = datastore;
  found.folderPath = vmx::DatastorePath(name, listing.folder).format_folder();
  const vim::FileQueryFlags* details = spec ? spec->details.get() : nullptr;
  for (const datastore::FileInfo& file : listing.files) {
    if (!wanted(spec, file.kind)) continue;
    auto info = details && !details->fileType && spec->query.empty()
                    ? model::share(vim::FileInfo{}) : typed(file);
    vim::FileInfo& common = info.edit();
    common.path = file.name;
    if (details && details->fileSize) common.fileSize = static_cast<std::int64_t>(file.size);
    if (details && details->modification) common.modification = to_time(file.modified);
    if (details && details->fileOwner) common.owner = file.owner;
    found.file.push_back(info);
  }
  return found;
}

datastore::Search translate(const vim::HostDatastoreBrowserSearchSpec* spec) {
  datastore::Search search;
  search.disk_details = search.config_details = true;
  if (!spec) return search;
  search.patterns = spec->matchPattern;
  search.ignore_case = spec->searchCaseInsensitive.value_or(true);
  search.folders_first = spec->sortFoldersFirst.value_or(false);
  return search;
}

}  // namespace

HostDatastoreBrowser::HostDatastoreBrowser(Host& host, MoRef self, MoRef datastore)
    : Implements(host.kernel.inventory, std::move(self), [&] {
        Properties properties;
        properties.datastore = {datastore};
        const auto add = [&](auto query) {
          properties.supportedType.push_back(model::Ptr<vim::FileQuery>(model::share(query).data()));
        };
        add(vim::FolderFileQuery{});
        add(vim::VmConfigFileQuery{});
        add(vim::TemplateConfigFileQuery{});
        add(vim::VmDiskFileQuery{});
        add(vim::IsoImageFileQuery{});
        add(vim::FloppyImageFileQuery{});
        add(vim::VmNvramFileQuery{});
        add(vim::VmLogFileQuery{});
        add(vim::VmSnapshotFileQuery{});
        return properties;
      }()), host_(host), datastore_(datastore) {
  set_guard(datastore);
}

datastore::Location HostDatastoreBrowser::locate(model::Call& call, const std::string& path,
                                                 const char* privilege) const {
  const auto object = host_.datastore(datastore_);
  host_.kernel.authorization.check(host_.kernel.inventory, kernel::context(call).user(), *object,
                                   privilege);
  const auto place = host_.locate(path);
  if (place.datastore != object->files()) {
    vim::InvalidDatastore detail;
    detail.datastore = datastore_;
    detail.name = object->properties().name;
    throw kernel::Fault(std::move(detail), fmt::format("{} is not on {}, which this browser is of.",
                                                       path, object->properties().name));
  }
  return place;
}

MoRef HostDatastoreBrowser::search(model::Call& call, const char* method, const std::string& path,
                                   const model::Ptr<vim::HostDatastoreBrowserSearchSpec>& spec,
                                   bool recursive) {
  const auto place = locate(call, path, "Datastore.Browse");
  const auto object = host_.datastore(datastore_);
  kernel::TaskSpec task{method, recursive ? "HostDatastoreBrowser.searchSubFolders"
                                          : "HostDatastoreBrowser.search",
                        datastore_, object->properties().name, true};
  const MoRef datastore = datastore_;
  Host& host = host_;
  return host_.kernel.tasks.run(
      call, std::move(task), [=, &host](kernel::TaskHandle& handle) -> Async<Any> {
        const auto listings = co_await offload(host.kernel.workers, [&] {
          return recursive ? datastore::list_tree(place, translate(spec.get()), handle.stop_token())
                           : std::vector{datastore::list_folder(place, translate(spec.get()), handle.stop_token())};
        });
        const std::string& name = place.datastore->name();
        if (!recursive)
          co_return model::any(model::share(results(datastore, name, listings.front(), spec.get())));
        model::List<vim::HostDatastoreBrowserSearchResults> all;
        for (const auto& listing : listings) all.push_back(results(datastore, name, listing, spec.get()));
        co_return model::any(all);
      });
}

Async<MoRef> HostDatastoreBrowser::SearchDatastore_Task(model::Call& call,
                                                        const vim::SearchDatastoreRequestType& r) {
  co_return search(call, "SearchDatastore_Task", r.datastorePath, r.searchSpec, false);
}

Async<MoRef> HostDatastoreBrowser::SearchDatastoreSubFolders_Task(
    model::Call& call, const vim::SearchDatastoreSubFoldersRequestType& r) {
  co_return search(call, "SearchDatastoreSubFolders_Task", r.datastorePath, r.searchSpec, true);
}

Async<void> HostDatastoreBrowser::DeleteFile(model::Call& call, const vim::DeleteFileRequestType& r) {
  const auto place = locate(call, r.datastorePath, "Datastore.DeleteFile");
  const auto work = [place] { datastore::remove(place); };
  co_await offload(host_.kernel.workers, work);
}

}  // namespace virga::host
