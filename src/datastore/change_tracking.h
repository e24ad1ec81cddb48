// The tracks of changes (vmx/change_track.h) of virtual disks, in their files.
//
// While somebody writes to a disk its track is open; with what he wrote he closes it again. One
// that is found open, that cannot be read, or that belongs to another content than the disk has
// now, is not relied on: the next writer begins an epoch.
//
// All of it blocks. Of disks that no guest has open, unless told otherwise.
#pragma once

#include <optional>
#include <string>

#include "datastore/datastore.h"
#include "datastore/virtual_disk.h"
#include "vmx/change_track.h"

namespace virga::datastore {

// --- Of a disk ---------------------------------------------------------------------------------

// nullopt: none that can be relied on. That of a disk a guest writes is open.
std::optional<vmx::ChangeTrack> read_track(const Location& disk);

// Gives the disk a track, unless it has one that can be relied on and goes on.
void start_tracking(const Location& disk);
// The disk is going to be written by somebody who keeps no track.
void stop_tracking(const Location& disk);

// For the new delta of a disk: its track goes on where the parent's ends, or begins an epoch.
// `parent_is_written`: a guest has the parent open.
void track_delta(const Location& delta, const Location& parent, bool parent_is_written);
void begin_epoch(const Location& disk);
// The disk below, of which nobody kept track until it came to rest, is the state its delta's track
// goes out from.
void track_parent(const Location& parent, const Location& delta);

// `disks`, a chain, the lowest first, are about to be merged into that one: its track takes in
// theirs, as far as they have ended. `last_is_written`: a guest has the last open, and writes the
// lowest afterwards.
void merge_tracks(const std::vector<Location>& disks, bool last_is_written);
// They are merged, and nobody writes the disk.
void settle_track(const Location& disk);

// What may be other than zero: `chain` as read_chain() has it, of which nobody writes the last.
vmx::Areas allocated_areas(const std::vector<Location>& chain);

// --- Of an image that is written ---------------------------------------------------------------

// By paths of this machine: NAME-ctk.vmdk, and the extent.
void open_track(const std::string& track);
// Does nothing for one that is closed. `capacity`: the image's, in bytes. `flat`: it holds the
// guest's sectors as they are.
void close_track(const std::string& track, const std::string& image, bool flat,
                 const vmx::Areas& written, std::uint64_t capacity);
void drop_track(const std::string& track);

}  // namespace virga::datastore
