// The SOAP 1.1 binding of the API (namespace urn:vim25), for any type, by metadata.
// Rules beyond the WSDL that stock clients insist on:
//   - every element of an ArrayOfX held in an anyType carries its own xsi:type;
//   - a polymorphic field's xsi:type is written whenever the dynamic type differs or the field is one
//     of an extensible type;
//   - what is newer than the client's version is left out; an object of a type newer than it is
//     written as its nearest older base, and so is the name of such a type;
//   - an optional secret (a password) is never written in an answer.
// Bad input throws Fault(InvalidRequest) naming the element; a member of the API that this schema
// leaves out throws Fault(NotSupported) naming it.
#pragma once

#include <string>
#include <string_view>

#include "model/fault.h"
#include "model/metadata.h"

namespace virga::model::soap {

struct Request {
  const MethodInfo* method;    // never nullptr
  MoRef object;                // the _this
  DataPtr parameters;          // of method->request's type
  std::string operation_id;    // the header's operationID, "" when there is none
};

// Reads a request envelope. Finds the method through the _this reference's type and its bases. An
// unknown method of a known type: Fault(NotSupported) when the API has it, else InvalidRequest.
Request read_request(std::string_view envelope);

// An envelope with the method's result (none: an empty returnval is left out).
std::string write_response(const MethodInfo& method, const Any& result, Version client);
// An envelope with a soap:Fault whose detail holds the fault object.
std::string write_fault(const Fault& fault, Version client);

// The client's side of the same.
std::string write_request(const MethodInfo& method, const MoRef& object, const DataObject& parameters,
                          Version version);
// The result; throws the server's Fault.
Any read_response(const MethodInfo& method, std::string_view envelope);

}  // namespace virga::model::soap
