#include "kernel/retrieval.h"

#include <set>
#include <unordered_map>
#include <unordered_set>
namespace virga::kernel {
namespace {

// Objects with what was asked of them, in the order of their finding.
class Contents {
 public:
  explicit Contents(Access& access) : access_(access) {}

  void add(const Object& object, const TypeRequest& request) {
    const auto [entry, fresh] = by_object_.try_emplace(&object);
    if (fresh) {
      entry->second = &contents_.emplace_back();
      entry->second->obj = object.self();
    }
    fill(*entry->second, object, request, fresh);
  }

  model::List<vim::ObjectContent> take() { return std::move(contents_); }

 private:
  void fill(vim::ObjectContent& content, const Object& object, const TypeRequest& request,
            bool fresh) {
    const DataPtr snapshot = object.snapshot_for(access_.reader().session.get());
    for (const RequestedProperty& property : request.properties) {
      if (!fresh && has(content, property.path())) continue;
      if (!access_.allows(object, property.privilege())) {
        content.missingSet.push_back(
            missing_property(property, access_.refusal(object, property.privilege())));
      } else if (Any value = property.read(snapshot)) {
        vim::DynamicProperty& read = content.propSet.emplace_back();
        read.name = property.path();
        read.val = std::move(value);
      }
    }
  }

  // Another spec has asked the same of the object.
  static bool has(const vim::ObjectContent& content, const std::string& path) {
    for (const auto& property : content.propSet) {
      if (property->name == path) return true;
    }
    for (const auto& missing : content.missingSet) {
      if (missing->path == path) return true;
    }
    return false;
  }

  Access& access_;
  model::List<vim::ObjectContent> contents_;
  std::unordered_map<const Object*, vim::ObjectContent*> by_object_;
};

// Follows a plan's traversals, each from each object once: that ends the recursive ones.
class Walk {
 public:
  explicit Walk(const Access& access) : access_(access) {}

  void from(const SelectionPlan::Root& root) {
    arrive(root.object, root.skip, root.next);
    while (!steps_.empty()) {
      const Step step = std::move(steps_.front());
      steps_.pop_front();
      const DataPtr snapshot = step.object->snapshot_for(access_.reader().session.get());
      for (const MoRef& target : step.traversal->path.references(snapshot))
        arrive(target, step.traversal->skip, step.traversal->next);
    }
  }

  std::vector<std::shared_ptr<Object>> take() { return std::move(found_); }

 private:
  struct Step {
    const Traversal* traversal;
    std::shared_ptr<Object> object;
  };

  void arrive(const MoRef& target, bool skip, const std::vector<const Traversal*>& next) {
    const auto object = access_.find(target);
    if (!object) return;
    if (!skip && seen_.insert(object.get()).second) found_.push_back(object);
    for (const Traversal* traversal : next) {
      if (object->interface().info().is_a(*traversal->type) &&
          taken_.emplace(traversal, object.get()).second)
        steps_.push_back({traversal, object});
    }
  }

  const Access& access_;
  std::deque<Step> steps_;
  std::set<std::pair<const Traversal*, const Object*>> taken_;
  std::unordered_set<const Object*> seen_;
  std::vector<std::shared_ptr<Object>> found_;
};

}  // namespace

std::vector<std::shared_ptr<Object>> select(const SelectionPlan& plan, const Access& access) {
  Walk walk(access);
  for (const SelectionPlan::Root& root : plan.roots) walk.from(root);
  return walk.take();
}

std::vector<MoRef> missing_roots(const SelectionPlan& plan, const Access& access) {
  std::vector<MoRef> missing;
  for (const SelectionPlan::Root& root : plan.roots) {
    if (!access.find(root.object)) missing.push_back(root.object);
  }
  return missing;
}

model::List<vim::ObjectContent> retrieve(const Kernel& kernel, const Reader& reader,
                                         const model::List<vim::PropertyFilterSpec>& specs) {
  Access access(kernel, reader);
  Contents contents(access);
  for (const auto& spec : specs) {
    FilterPlan plan(*spec, reader.version);
    const auto missing = missing_roots(*plan.selection(), access);
    if (!missing.empty() && !plan.report_missing()) throw managed_object_not_found(missing.front());
    for (const auto& object : select(*plan.selection(), access)) {
      if (const TypeRequest* request = plan.request(object->interface().info()))
        contents.add(*object, *request);
    }
  }
  return contents.take();
}

vim::MissingProperty missing_property(const RequestedProperty& property, const Fault& fault) {
  vim::MissingProperty missing;
  missing.path = property.path();
  missing.fault.fault = model::Ptr<vim::MethodFault>(fault.detail());
  missing.fault.localizedMessage = fault.message();
  return missing;
}

}  // namespace virga::kernel
