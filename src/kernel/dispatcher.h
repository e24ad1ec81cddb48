// A call from its reference and method to its answer: finds the object, checks session and
// privilege, runs the method on the kernel executor. Bindings (SOAP, JSON) stand on it.
#pragma once

#include "kernel/call.h"
#include "kernel/kernel.h"

namespace virga::kernel {

class Dispatcher {
 public:
  explicit Dispatcher(Kernel& kernel) : kernel_(kernel) {}

  // Any executor; the caller resumes on its own. Throws Fault, whatever went wrong.
  Async<Any> invoke(std::shared_ptr<Call> call, MoRef object, const model::MethodInfo& method,
                    DataPtr parameters);

  // The value of a property, for the JSON binding; none when it is unset. Throws as invoke does.
  Async<Any> read_property(std::shared_ptr<Call> call, MoRef object, std::string property);

 private:
  Async<Any> run(std::shared_ptr<Call> call, MoRef object, const model::MethodInfo& method,
                 DataPtr parameters);
  // The object, if this caller may see it.
  std::shared_ptr<Object> find(const Call& call, const MoRef& ref) const;
  void check(const Call& call, const Object& object, std::string_view privilege) const;

  Kernel& kernel_;
};

}  // namespace virga::kernel
