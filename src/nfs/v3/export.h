// Internal to the module: an export by NFS 3 (RFC 1813).
//
// A removed file that is still open is gone for those who have it open (ESTALE).
#pragma once

#include "nfs/export.h"
#include "nfs/v3/server.h"

namespace virga::nfs::v3 {

class Export final : public nfs::Export {
 public:
  // Of the source's first host.
  Export(const Source& source, Told told);

  void open(std::function<void(const Root&)> then) override;
  void attributes(const Handle& file, Answer<struct stat> answer) override;
  void change(const Handle& file, const Change& change, Answer<> answer) override;
  void look_up(const Name& name, Answer<File> answer) override;
  void make_folder(const Name& name, mode_t mode, Answer<File> answer) override;
  // With O_EXCL the server remembers a verifier: a request that comes twice makes one file.
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

  int fd() const override { return server_.fd(); }
  short events() const override { return server_.events(); }
  void service(int events) override { server_.service(events); }
  void time_passed() override { server_.time_passed(); }

 private:
  using Failed = std::function<void(int error)>;
  // What a folder holds, as far as it is known.
  struct Listing;

  // Issues a procedure whose arguments `fill` makes; `then` gets the result of one that went well.
  template <class Result, class Args, class Fill, class Then>
  void ask(Failed failed, int (*procedure)(rpc_context*, rpc_cb, Args*, void*), Fill fill,
           Then then);
  // Answers with the attributes that came along, or those asked for.
  void answer_file(const Handle& file, const post_op_attr& came, const Answer<File>& answer);
  void finish_creation(const Handle& made, const std::optional<Change>& change,
                       const Answer<File>& answer);
  void list_on(const std::shared_ptr<Listing>& listing,
               const Answer<std::vector<FolderEntry>>& answer);

  const std::string host_, path_;
  Server server_;
};

}  // namespace virga::nfs::v3
