// The reading half of soap.h.
#include "model/reading.h"
#include "model/soap.h"
#include "model/soap_names.h"
#include "model/value_ops.h"
#include "wire/xml_reader.h"

namespace virga::model::soap {
namespace {

using wire::XmlElement;

// The name in the element's xsi:type; "" when it has none.
std::string_view named_type(const XmlElement& element) {
  const auto type = element.attribute(wire::kXsiNamespace, "type");
  return type ? local_name(*type) : std::string_view();
}

DataPtr read_data(const XmlElement& element, const TypeInfo& declared, const Place& place);
Any read_any(const XmlElement& element, const Place& place);

MoRef read_reference(const XmlElement& element, const Place& place) {
  const auto type = element.attribute("type");
  if (!type) refuse(place, "the reference needs the attribute type");
  return {std::string(local_name(*type)), element.text()};
}

void append_element(const XmlElement& element, const ValueType& array, void* storage,
                    const Place& place);

// Reads anything but a data object, which is no storage but an object of its own.
void read_value(const XmlElement& element, const ValueType& type, void* storage,
                const Place& place) {
  switch (type.kind) {
    case Kind::any:
      *static_cast<Any*>(storage) = read_any(element, place);
      return;
    case Kind::array:
      for (const XmlElement& child : element.children()) {
        append_element(child, type, storage, Place{&place, {}, type.size(storage)});
      }
      return;
    default:
      break;
  }
  if (const XmlElement child = element.first_child()) {
    refuse(place, "an element {} inside a value of type {}", child.local_name(), type.name);
  }
  if (type.kind == Kind::reference) {
    *static_cast<MoRef*>(storage) = read_reference(element, place);
  } else {
    read_text(type, element.text(), storage, place);
  }
}

void append_element(const XmlElement& element, const ValueType& array, void* storage,
                    const Place& place) {
  if (array.append_data) {
    array.append_data(storage, read_data(element, *array.data, place));
  } else {
    read_value(element, *array.element, array.append(storage), place);
  }
}

Any read_any(const XmlElement& element, const Place& place) {
  const std::string_view name = named_type(element);
  if (name.empty()) refuse(place, "a value of any type needs its xsi:type");
  const ValueType& type = any_type(name, place);
  if (type.kind == Kind::data) return any(read_data(element, *type.data, place));
  Any value = type.copy(type, nullptr);
  read_value(element, type, const_cast<void*>(value.value()), place);
  return value;
}

void read_field(const XmlElement& element, const FieldInfo& field, DataObject& object,
                const Place& place);

void read_fields(const XmlElement& element, DataObject& object, const Place& place) {
  FieldSearch fields(object.type_info());
  for (const XmlElement& child : element.children()) {
    const FieldInfo& field = fields.find(child.local_name(), place);
    if (child.xsi_nil()) {
      if (field.required) refuse(place, "the required {} is nil", field.name);
      continue;
    }
    read_field(child, field, object, Place{&place, field.name});
  }
  fields.require_all(place);
}

void read_field(const XmlElement& element, const FieldInfo& field, DataObject& object,
                const Place& place) {
  switch (field.holder) {
    case Holder::pointer:
      return field.set_data(object, read_data(element, *field.type->data, place));
    case Holder::embedded:
      if (const auto name = named_type(element); !name.empty() && name != field.type->name) {
        refuse(place, "{} is not {}, the type that belongs here", name, field.type->name);
      }
      return read_fields(element, *static_cast<DataObject*>(field.emplace(object)), place);
    case Holder::array: {
      void* storage = array_storage(field, object);
      const Place at{place.outer, place.name, field.type->size(storage)};
      return append_element(element, *field.type, storage, at);
    }
    case Holder::plain:
    case Holder::optional:
      return read_value(element, *field.type, field.emplace(object), place);
  }
}

DataPtr read_data(const XmlElement& element, const TypeInfo& declared, const Place& place) {
  const std::string_view name = named_type(element);
  const TypeInfo& type = name.empty() ? declared : dynamic_type(name, declared, place);
  DataObject* object = create(type, place);
  DataPtr owner(object);
  read_fields(element, *object, place);
  return owner;
}

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
  const XmlElement element = call.child("_this");
  const std::string_view method = call.local_name();
  if (!element) {
    throw error(ErrorKind::invalid_argument, "_this", "{}: the required _this is missing", method);
  }
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
  FieldSearch fields(*method.request);
  for (const XmlElement& child : call.children()) {
    if (child.local_name() == "_this") continue;
    const FieldInfo& field = fields.find(child.local_name(), place);
    read_field(child, field, *parameters, Place{&place, field.name});
  }
  fields.require_all(place);
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
    detail = read_data(element, *find_type("MethodFault"), Place{nullptr, element.local_name()});
  }
  throw Fault(std::move(detail), std::move(message));
}

Any read_result(const MethodInfo& method, const XmlElement& response) {
  if (!method.result) return {};
  const ValueType& type = *method.result;
  const Place place{nullptr, "returnval"};
  if (type.kind == Kind::array) {
    Any values = type.copy(type, nullptr);
    void* storage = const_cast<void*>(values.value());
    for (const XmlElement& element : response.children()) {
      append_element(element, type, storage, Place{nullptr, "returnval", type.size(storage)});
    }
    return values;
  }
  const XmlElement element = response.first_child();
  if (!element) {
    if (method.result_optional) return {};
    refuse(place, "the required result of {} is missing", method.name);
  }
  if (type.kind == Kind::data) return any(read_data(element, *type.data, place));
  if (type.kind == Kind::any) return read_any(element, place);
  Any value = type.copy(type, nullptr);
  read_value(element, type, const_cast<void*>(value.value()), place);
  return value;
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
