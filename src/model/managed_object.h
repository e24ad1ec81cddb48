// The root of the server interfaces. For each managed object M the schema compiler makes an abstract
// class vim::M with one pure virtual function per served method:
//
//   class VirtualMachine : public ManagedEntity {
//    public:
//     using Properties = VirtualMachineProperties;
//     static const model::ManagedInfo& static_info();
//     virtual Async<MoRef> PowerOnVM_Task(Call&, const PowerOnVMRequestType&) = 0;
//   };
//
// and a client stub vim::client::M with the same functions.
#pragma once

#include "model/metadata.h"

namespace virga::model {

class ManagedObject {
 public:
  virtual ~ManagedObject() = default;
  virtual const ManagedInfo& info() const = 0;
  virtual const MoRef& ref() const = 0;
};

// Who calls, and how: the kernel derives its own from it.
class Call {
 public:
  virtual ~Call() = default;
};

// Carries a request to a server and its answer back, whatever the encoding; client stubs stand on it.
// Throws Fault for what the server answers, virga::Error for what keeps the answer from coming.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual Async<Any> invoke(const MethodInfo& method, MoRef object, DataPtr request) = 0;
};

}  // namespace virga::model
