// Internal to the module: an export by NFS 4.1.
//
// No file is held open at the server: what is read and written goes by the anonymous stateid, so
// that there is nothing to reclaim when the server restarts. A removed file that is still open is
// gone for those who have it open (ESTALE), and what another client has opened with a deny mode, or
// locked where locks are mandatory, cannot be used (EBUSY).
#pragma once

#include "nfs/export.h"
#include "nfs/v4/session.h"

namespace virga::nfs::v4 {

class Export final : public nfs::Export {
 public:
  Export(const Source& source, Told told);

  void open(std::function<void(const Root&)> then) override;
  void close() override { session_.close(); }
  void attributes(const Handle& file, Answer<struct stat> answer) override;
  void change(const Handle& file, const Change& change, Answer<> answer) override;
  void look_up(const Name& name, Answer<File> answer) override;
  void make_folder(const Name& name, mode_t mode, Answer<File> answer) override;
  void create(const Name& name, const Creation& creation, Answer<File> answer) override;
  void remove(const Name& name, bool is_folder, Answer<> answer) override;
  void rename(const Name& name, const Name& new_name, Answer<> answer) override;
  void link(const Handle& file, const Name& name, Answer<> answer) override;
  void read(const Handle& file, std::uint64_t offset, std::size_t size,
            Answer<Data> answer) override;
  void write(const Handle& file, std::uint64_t offset, std::string_view bytes,
             Answer<std::size_t> answer) override;
  void list(const Handle& folder, Answer<std::vector<FolderEntry>> answer) override;
  void space(const Handle& root, Answer<struct statvfs> answer) override;

  int fd() const override { return session_.fd(); }
  short events() const override { return session_.events(); }
  void service(int events) override { session_.service(events); }
  void time_passed() override { session_.time_passed(); }

 private:
  using Failed = std::function<void(int error)>;
  using Take = std::function<void(Results& results)>;

  // `take` gets the results of a compound that went well.
  void ask(Compound compound, Failed failed, Take take);
  // For compounds whose results say nothing.
  void ask(Compound compound, Answer<> answer);
  void list_on(const std::shared_ptr<Results::Listing>& listing, const Handle& folder,
               const Answer<std::vector<FolderEntry>>& answer);

  const std::string host_, path_;
  Session session_;
};

}  // namespace virga::nfs::v4
