// The reading half of soap.h.
#include "model/reading.h"
#include "model/soap.h"
#include "model/soap_names.h"
#include "model/value_ops.h"
#include "wire/xml_reader.h"

namespace virga::model::soap {
namespace {

using wire::XmlElement;

constexpr std::string_view kThis = "_this";

// The name in the element's xsi:type; "" when it has none.
std::string_view named_type(const XmlElement& element) {
  const auto type = element.attribute(wire::kXsiNamespace, "type");
  return type ? local_name(*type) : std::string_view();
}

class ValueReader {
 public:
  explicit ValueReader(Tolerance tolerance) : tolerance_(tolerance) {}

  DataPtr data(const XmlElement& element, const TypeInfo& declared, const Place& place) const {
    const std::string_view name = named_type(element);
    const TypeInfo& type = name.empty() ? declared : dynamic_type(name, declared, place);
    DataObject* object = create(type, place);
    DataPtr owner(object);
    fields(element, *object, place);
    return owner;
  }

  Any any_value(const XmlElement& element, const Place& place) const {
    const std::string_view name = named_type(element);
    if (name.empty()) refuse(place, "a value of any type needs its xsi:type");
    return value(element, any_type(name, place), place);
  }

  // A value of a declared type, in an Any of its own.
  Any value(const XmlElement& element, const ValueType& type, const Place& place) const {
    if (type.kind == Kind::any) return any_value(element, place);
    if (type.kind == Kind::data) return any(data(element, *type.data, place));
    Any made = type.copy(type, nullptr);
    into(element, type, const_cast<void*>(made.value()), place);
    return made;
  }

  // The children of `element` as the elements of an array.
  void elements(const XmlElement& element, const ValueType& array, void* storage,
                const Place& place) const {
    for (const XmlElement& child : element.children()) {
      append(child, array, storage, Place{&place, {}, array.size(storage)});
    }
  }

  void fields(const XmlElement& element, DataObject& object, const Place& place) const {
    FieldSearch fields(object.type_info(), tolerance_);
    for (const XmlElement& child : element.children()) {
      const std::string_view name = child.local_name();
      if (name == kThis) continue;
      const FieldInfo* info = fields.find(name, place);
      if (!info) continue;
      if (child.xsi_nil()) {
        if (info->required) refuse(place, "the required {} is nil", name);
        continue;
      }
      field(child, *info, object, Place{&place, info->name});
    }
    fields.require_all(place);
  }

 private:
  void field(const XmlElement& element, const FieldInfo& info, DataObject& object,
             const Place& place) const {
    switch (info.holder) {
      case Holder::pointer:
        return info.set_data(object, data(element, *info.type->data, place));
      case Holder::embedded:
        return embedded(element, info, object, place);
      case Holder::array: {
        void* storage = array_storage(info, object);
        const Place at{place.outer, place.name, info.type->size(storage)};
        return append(element, *info.type, storage, at);
      }
      case Holder::plain:
      case Holder::optional:
        return into(element, *info.type, info.emplace(object), place);
    }
  }

  void embedded(const XmlElement& element, const FieldInfo& info, DataObject& object,
                const Place& place) const {
    const std::string_view name = named_type(element);
    if (!name.empty() && name != info.type->name) {
      refuse(place, "{} is not {}, the type that belongs here", name, info.type->name);
    }
    fields(element, *static_cast<DataObject*>(info.emplace(object)), place);
  }

  void append(const XmlElement& element, const ValueType& array, void* storage,
              const Place& place) const {
    if (array.append_data) {
      array.append_data(storage, data(element, *array.data, place));
    } else {
      into(element, *array.element, array.append(storage), place);
    }
  }

  // Anything but a data object, which is no storage but an object of its own.
  void into(const XmlElement& element, const ValueType& type, void* storage,
            const Place& place) const {
    if (type.kind == Kind::any) {
      *static_cast<Any*>(storage) = any_value(element, place);
    } else if (type.kind == Kind::array) {
      elements(element, type, storage, place);
    } else if (const XmlElement child = element.first_child()) {
      refuse(place, "an element {} inside a value of type {}", child.local_name(), type.name);
    } else if (type.kind == Kind::reference) {
      *static_cast<MoRef*>(storage) = reference(element, place);
    } else {
      read_text(type, element.text(), storage, place);
    }
  }

  static MoRef reference(const XmlElement& element, const Place& place) {
    const auto type = element.attribute("type");
    if (!type) refuse(place, "the reference needs the attribute type");
    return {std::string(local_name(*type)), element.text()};
  }

  const Tolerance tolerance_;
};

// The element in the envelope's body.
XmlElement body_content(const XmlElement& envelope) {
  if (envelope.name() != wire::XmlName{kEnvelopeNamespace, "Envelope"}) {
    throw error(ErrorKind::invalid_argument, "Envelope", "the message is no SOAP 1.1 envelope");
  }
  const XmlElement content = envelope.child("Body").first_child();
  if (!content) throw error(ErrorKind::invalid_argument, "Body", "the envelope's Body is empty");
  return content;
}

// The method as `type` has it; failing that, as one that derives from `type` has it: a client may
// know an object by a base of its type. nullptr for `type` is the base of all.
const MethodInfo* find_method(const ManagedInfo* type, std::string_view name) {
  if (type) {
    if (const MethodInfo* method = type->method(name)) return method;
  }
  for (const ManagedInfo* candidate : all_managed()) {
    if (type && !candidate->is_a(*type)) continue;
    if (const MethodInfo* method = candidate->method(name)) return method;
  }
  return nullptr;
}

bool any_unserved(const ManagedInfo* type, std::string_view name) {
  return std::ranges::any_of(all_managed(), [&](const ManagedInfo* candidate) {
    return (!type || candidate->is_a(*type)) && candidate->unserved(name);
  });
}

const MethodInfo& require_method(const ManagedInfo* type, std::string_view name) {
  if (const MethodInfo* method = find_method(type, name)) return *method;
  const std::string_view where = type ? type->name : "the API";
  if (any_unserved(type, name)) {
    throw plain_fault("NotSupported", fmt::format("{} of {} is not supported", name, where));
  }
  throw error(ErrorKind::invalid_argument, std::string(name), "{} has no method {}", where, name);
}

MoRef read_this(const XmlElement& call) {
  const XmlElement element = call.child(kThis);
  if (!element) refuse(Place{nullptr, call.local_name()}, "the required _this is missing");
  const auto type = element.attribute("type");
  return {std::string(type ? local_name(*type) : std::string_view()), element.text()};
}

const ManagedInfo* managed_type(const MoRef& object) {
  if (object.type.empty()) return nullptr;
  const ManagedInfo* type = find_managed(object.type);
  if (!type) {
    throw error(ErrorKind::invalid_argument, "_this", "{} is not a managed object type",
                object.type);
  }
  return type;
}

DataPtr read_parameters(const XmlElement& call, const MethodInfo& method) {
  const Place place{nullptr, method.name};
  DataObject* parameters = create(*method.request, place);
  DataPtr owner(parameters);
  ValueReader(Tolerance::exact).fields(call, *parameters, place);
  return owner;
}

Request parse_request(std::string_view envelope) {
  const auto document = wire::XmlDocument::parse(std::string(envelope));
  const XmlElement root = document.root();
  const XmlElement call = body_content(root);
  Request request;
  request.object = read_this(call);
  request.method = &require_method(managed_type(request.object), call.local_name());
  request.parameters = read_parameters(call, *request.method);
  if (const XmlElement header = root.child("Header")) {
    if (const XmlElement id = header.child("operationID")) request.operation_id = id.text();
  }
  return request;
}

[[noreturn]] void throw_fault(const XmlElement& fault) {
  std::string message = fault.child("faultstring").text();
  DataPtr detail;
  if (const XmlElement element = fault.child("detail").first_child()) {
    const Place place{nullptr, element.local_name()};
    detail = ValueReader(Tolerance::lenient).data(element, *find_type("MethodFault"), place);
  }
  throw Fault(std::move(detail), std::move(message));
}

Any read_result(const MethodInfo& method, const XmlElement& response) {
  if (!method.result) return {};
  const ValueReader reader(Tolerance::lenient);
  const Place place{nullptr, "returnval"};
  if (method.result->kind == Kind::array) {
    Any values = method.result->copy(*method.result, nullptr);
    reader.elements(response, *method.result, const_cast<void*>(values.value()), place);
    return values;
  }
  if (const XmlElement element = response.first_child()) {
    return reader.value(element, *method.result, place);
  }
  if (!method.result_optional) refuse(place, "the required result of {} is missing", method.name);
  return {};
}

}  // namespace

Request read_request(std::string_view envelope) {
  return refusing_by_fault([&] { return parse_request(envelope); });
}

Any read_response(const MethodInfo& method, std::string_view envelope) {
  const auto document = wire::XmlDocument::parse(std::string(envelope));
  const XmlElement content = body_content(document.root());
  if (content.local_name() == "Fault") throw_fault(content);
  return read_result(method, content);
}

}  // namespace virga::model::soap
