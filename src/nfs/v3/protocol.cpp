#include "nfs/v3/protocol.h"

#include <cerrno>

namespace virga::nfs::v3 {
namespace {

mode_t type_bits(ftype3 type) {
  switch (type) {
    case NF3REG:
      return S_IFREG;
    case NF3DIR:
      return S_IFDIR;
    case NF3BLK:
      return S_IFBLK;
    case NF3CHR:
      return S_IFCHR;
    case NF3LNK:
      return S_IFLNK;
    case NF3SOCK:
      return S_IFSOCK;
    case NF3FIFO:
      return S_IFIFO;
  }
  return 0;
}

timespec time_from(const nfstime3& time) {
  return {static_cast<time_t>(time.seconds), static_cast<long>(time.nseconds)};
}

nfstime3 to_wire(const timespec& time) {
  return {static_cast<u_int>(time.tv_sec), static_cast<u_int>(time.tv_nsec)};
}

time_how how_to_set(const std::optional<timespec>& time) {
  if (!time) return DONT_CHANGE;
  return time->tv_nsec == UTIME_NOW ? SET_TO_SERVER_TIME : SET_TO_CLIENT_TIME;
}

}  // namespace

Handle handle_from(const nfs_fh3& handle) {
  return {handle.data.data_val, handle.data.data_len};
}

nfs_fh3 to_wire(const Handle& handle) {
  nfs_fh3 wire{};
  wire.data.data_len = static_cast<u_int>(handle.size());
  wire.data.data_val = const_cast<char*>(handle.data());
  return wire;
}

int errno_of(nfsstat3 status) {
  switch (status) {
    case NFS3_OK:
      return 0;
    case NFS3ERR_PERM:
      return EPERM;
    case NFS3ERR_NOENT:
      return ENOENT;
    case NFS3ERR_NXIO:
      return ENXIO;
    case NFS3ERR_ACCES:
      return EACCES;
    case NFS3ERR_EXIST:
      return EEXIST;
    case NFS3ERR_XDEV:
      return EXDEV;
    case NFS3ERR_NODEV:
      return ENODEV;
    case NFS3ERR_NOTDIR:
      return ENOTDIR;
    case NFS3ERR_ISDIR:
      return EISDIR;
    case NFS3ERR_INVAL:
      return EINVAL;
    case NFS3ERR_FBIG:
      return EFBIG;
    case NFS3ERR_NOSPC:
      return ENOSPC;
    case NFS3ERR_ROFS:
      return EROFS;
    case NFS3ERR_MLINK:
      return EMLINK;
    case NFS3ERR_NAMETOOLONG:
      return ENAMETOOLONG;
    case NFS3ERR_NOTEMPTY:
      return ENOTEMPTY;
    case NFS3ERR_DQUOT:
      return EDQUOT;
    case NFS3ERR_STALE:
    case NFS3ERR_BADHANDLE:
      return ESTALE;
    case NFS3ERR_NOTSUPP:
      return EOPNOTSUPP;
    default:
      return EIO;
  }
}

struct stat stat_from(const fattr3& attributes) {
  struct stat status {};
  status.st_ino = attributes.fileid;
  status.st_mode = type_bits(attributes.type) | (attributes.mode & 07777);
  status.st_nlink = attributes.nlink;
  status.st_uid = attributes.uid;
  status.st_gid = attributes.gid;
  status.st_size = static_cast<off_t>(attributes.size);
  status.st_blocks = static_cast<blkcnt_t>((attributes.used + 511) / 512);
  status.st_blksize = 4096;
  status.st_atim = time_from(attributes.atime);
  status.st_mtim = time_from(attributes.mtime);
  status.st_ctim = time_from(attributes.ctime);
  return status;
}

sattr3 to_wire(const Change& change) {
  sattr3 wire{};
  wire.mode.set_it = change.mode.has_value();
  wire.mode.set_mode3_u.mode = change.mode.value_or(0) & 07777;
  wire.uid.set_it = change.owner.has_value();
  wire.uid.set_uid3_u.uid = change.owner.value_or(0);
  wire.gid.set_it = change.group.has_value();
  wire.gid.set_gid3_u.gid = change.group.value_or(0);
  wire.size.set_it = change.size.has_value();
  wire.size.set_size3_u.size = change.size.value_or(0);
  wire.atime.set_it = how_to_set(change.access_time);
  wire.atime.set_atime_u.atime = to_wire(change.access_time.value_or(timespec{}));
  wire.mtime.set_it = how_to_set(change.modification_time);
  wire.mtime.set_mtime_u.mtime = to_wire(change.modification_time.value_or(timespec{}));
  return wire;
}

}  // namespace virga::nfs::v3
