//! Schemas and their revisions.

use super::page::page;
use crate::catalog::records::{Changes, SchemaRecord};
use crate::clock;
use crate::hub::Hub;
use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_REVISIONS_MAX};
use crate::name::{self, Kind};
use crate::schema::Validator;
use crate::status::{exists, invalid, not_found, out_of_range};
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::validate_message_request::SchemaSpec;
use tonic::Status;

/// What a client is told about the schema of a topic when it is gone.
pub(crate) const DELETED_SCHEMA: &str = "_deleted-schema_";

/// `CreateSchema`.
pub(crate) async fn create(hub: &Hub, request: pb::CreateSchemaRequest) -> Result<pb::Schema, Status> {
    let project = name::project(&request.parent)?;
    let name = format!("projects/{project}/schemas/{}", request.schema_id);
    name::check_new(Kind::Schema, &name)?;
    let mut schema = request.schema.ok_or_else(|| invalid("The request has no schema."))?;
    check(&schema)?;
    let mut change = hub.catalog.change().await;
    if hub.catalog.schema(&name).is_ok() {
        return Err(exists(&name));
    }
    schema.name.clone_from(&name);
    stamp(hub, &mut schema);
    let record = SchemaRecord { revisions: vec![schema.clone()] };
    hub.catalog.commit(&mut change, Changes::default().put(&name, &record)).await?;
    hub.catalog.set_schema(&name, Some(record));
    Ok(schema)
}

fn check(schema: &pb::Schema) -> Result<Validator, Status> {
    if schema.definition.len() > SCHEMA_BYTES_MAX {
        return Err(out_of_range("definition_size", schema.definition.len(), "maximum", SCHEMA_BYTES_MAX));
    }
    Validator::new(schema)
}

/// Gives a revision its id and time.
fn stamp(hub: &Hub, schema: &mut pb::Schema) {
    // Consecutive numbers make ids that look unlike, as Google's do.
    let mixed = hub.catalog.new_number().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    schema.revision_id = format!("{mixed:08x}");
    schema.revision_create_time = Some(clock::timestamp(clock::now()));
}

/// Name and revision in `projects/P/schemas/S@REVISION`.
fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(name, revision)| (name, Some(revision)))
}

fn find(record: &SchemaRecord, name: &str, revision: Option<&str>) -> Result<pb::Schema, Status> {
    let found = match revision {
        None => record.revisions.last(),
        Some(id) => record.revisions.iter().find(|r| r.revision_id == id),
    };
    found.cloned().ok_or_else(|| not_found(&revision.map_or(name.to_owned(), |r| format!("{name}@{r}"))))
}

fn viewed(mut schema: pb::Schema, with_definition: bool) -> pb::Schema {
    if !with_definition {
        schema.definition.clear();
    }
    schema
}

/// `GetSchema`.
pub(crate) async fn get(hub: &Hub, request: pb::GetSchemaRequest) -> Result<pb::Schema, Status> {
    let (name, revision) = split(&request.name);
    name::parse(Kind::Schema, name)?;
    let schema = find(&*hub.catalog.schema(name)?, name, revision)?;
    Ok(viewed(schema, request.view() != pb::SchemaView::Basic))
}

/// `ListSchemas`.
pub(crate) async fn list(
    hub: &Hub,
    request: pb::ListSchemasRequest,
) -> Result<pb::ListSchemasResponse, Status> {
    let prefix = format!("projects/{}/", name::project(&request.parent)?);
    let all = hub.catalog.schemas();
    let ours = all.iter().filter(|(name, _)| name.starts_with(&prefix));
    let (page, next_page_token) = page(ours, |(n, _)| n, request.page_size, &request.page_token)?;
    let full = request.view() == pb::SchemaView::Full;
    let latest = page.into_iter().filter_map(|(_, r)| r.revisions.last().cloned());
    Ok(pb::ListSchemasResponse { schemas: latest.map(|s| viewed(s, full)).collect(), next_page_token })
}

/// `ListSchemaRevisions`: newest first.
pub(crate) async fn list_revisions(
    hub: &Hub,
    request: pb::ListSchemaRevisionsRequest,
) -> Result<pb::ListSchemaRevisionsResponse, Status> {
    name::parse(Kind::Schema, &request.name)?;
    let record = hub.catalog.schema(&request.name)?;
    let full = request.view() == pb::SchemaView::Full;
    // There are so few that they fit on one page, whatever size was asked for.
    let schemas = record.revisions.iter().rev().map(|s| viewed(s.clone(), full)).collect();
    Ok(pb::ListSchemaRevisionsResponse { schemas, next_page_token: String::new() })
}

/// `CommitSchema`.
pub(crate) async fn commit(hub: &Hub, request: pb::CommitSchemaRequest) -> Result<pb::Schema, Status> {
    let schema = request.schema.ok_or_else(|| invalid("The request has no schema."))?;
    check(&schema)?;
    add(hub, &request.name, |record| {
        let kind = record.revisions.last().map(|r| r.r#type);
        if kind.is_some_and(|k| k != schema.r#type) {
            return Err(invalid("The type of a schema cannot be changed by a revision."));
        }
        Ok(schema)
    })
    .await
}

/// `RollbackSchema`: an old revision becomes the newest, under a new id.
pub(crate) async fn rollback(hub: &Hub, request: pb::RollbackSchemaRequest) -> Result<pb::Schema, Status> {
    let (name, revision) = (request.name.clone(), request.revision_id);
    add(hub, &request.name, |record| find(record, &name, Some(&revision))).await
}

async fn add(
    hub: &Hub,
    name: &str,
    make: impl FnOnce(&SchemaRecord) -> Result<pb::Schema, Status>,
) -> Result<pb::Schema, Status> {
    name::parse(Kind::Schema, name)?;
    let mut change = hub.catalog.change().await;
    let mut record = SchemaRecord::clone(&*hub.catalog.schema(name)?);
    let mut schema = make(&record)?;
    if record.revisions.len() >= SCHEMA_REVISIONS_MAX {
        return Err(Status::failed_precondition(format!(
            "A schema can have {SCHEMA_REVISIONS_MAX} revisions at most: delete one first."
        )));
    }
    name.clone_into(&mut schema.name);
    stamp(hub, &mut schema);
    record.revisions.push(schema.clone());
    hub.catalog.commit(&mut change, Changes::default().put(name, &record)).await?;
    hub.catalog.set_schema(name, Some(record));
    Ok(schema)
}

/// `DeleteSchemaRevision`.
pub(crate) async fn delete_revision(
    hub: &Hub,
    request: pb::DeleteSchemaRevisionRequest,
) -> Result<pb::Schema, Status> {
    let (name, revision) = split(&request.name);
    name::parse(Kind::Schema, name)?;
    let revision = revision.ok_or_else(|| invalid("The name must end with `@` and the id of a revision."))?;
    let mut change = hub.catalog.change().await;
    let mut record = SchemaRecord::clone(&*hub.catalog.schema(name)?);
    find(&record, name, Some(revision))?;
    if record.revisions.len() == 1 {
        return Err(Status::failed_precondition(
            "The only revision of a schema cannot be deleted: delete the schema.",
        ));
    }
    record.revisions.retain(|r| r.revision_id != revision);
    hub.catalog.commit(&mut change, Changes::default().put(name, &record)).await?;
    let latest = find(&record, name, None)?;
    hub.catalog.set_schema(name, Some(record));
    Ok(latest)
}

/// `DeleteSchema`: topics with it take no more messages until they are given another, or none.
pub(crate) async fn delete(hub: &Hub, request: pb::DeleteSchemaRequest) -> Result<(), Status> {
    name::parse(Kind::Schema, &request.name)?;
    let mut change = hub.catalog.change().await;
    hub.catalog.schema(&request.name)?;
    let mut changes = Changes::default().delete(&request.name);
    let mut bereft = Vec::new();
    for topic in hub.catalog.topics() {
        let mut resource = pb::Topic::clone(&topic.resource());
        if let Some(settings) = resource.schema_settings.as_mut().filter(|s| s.schema == request.name) {
            DELETED_SCHEMA.clone_into(&mut settings.schema);
            changes = changes.put(&resource.name, &topic.record(resource.clone()));
            bereft.push((topic, resource));
        }
    }
    hub.catalog.commit(&mut change, changes).await?;
    hub.catalog.set_schema(&request.name, None);
    for (topic, resource) in bereft {
        topic.set_resource(resource);
    }
    Ok(())
}

/// `ValidateSchema`.
pub(crate) async fn validate(
    _: &Hub,
    request: pb::ValidateSchemaRequest,
) -> Result<pb::ValidateSchemaResponse, Status> {
    name::project(&request.parent)?;
    check(&request.schema.ok_or_else(|| invalid("The request has no schema."))?)?;
    Ok(pb::ValidateSchemaResponse {})
}

/// `ValidateMessage`.
pub(crate) async fn validate_message(
    hub: &Hub,
    request: pb::ValidateMessageRequest,
) -> Result<pb::ValidateMessageResponse, Status> {
    name::project(&request.parent)?;
    let encoding = request.encoding();
    let validator = match request.schema_spec {
        None => return Err(invalid("The request has neither a schema nor the name of one.")),
        Some(SchemaSpec::Schema(schema)) => check(&schema)?,
        Some(SchemaSpec::Name(name)) => {
            let (name, revision) = split(&name);
            name::parse(Kind::Schema, name)?;
            check(&find(&*hub.catalog.schema(name)?, name, revision)?)?
        }
    };
    validator.check(&request.message, encoding).map_err(|why| {
        invalid(format!("Invalid data in message: Message failed schema validation: {why}."))
    })?;
    Ok(pb::ValidateMessageResponse {})
}
