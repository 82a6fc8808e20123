// The functions on Azure Functions, before a cluster of AKS. infra/README.md has the commands.

@description('The name of the function app, and of what belongs to it.')
@minLength(2)
@maxLength(40)
param name string

param location string = resourceGroup().location

@description('The resource id of the AKS cluster, which knows the users of Microsoft Entra ID.')
param cluster string

@description('The namespace of the projects.')
param namespace string = 'brigantine'

@description('The image of worker pods.')
param workerImage string = 'ghcr.io/brigantine/worker:0.1.0'

@description('The URI of a secret in Key Vault that proves webhooks; empty, each project has its own.')
param sharedSecretUri string = ''

@description('The Key Vault with that secret, in this resource group; it uses Azure roles.')
param vault string = ''

@description('Where messages of Event Grid triggers go, such as eventgrid=/eventgrid/<project>/<token>.')
@secure()
param triggers string = ''

@description('When old and lost builds are looked after: with seconds first.')
param sweepSchedule string = '0 */5 * * * *'

@description('Builds that are older are deleted by sweeps; empty, none is.')
param buildAge string = '720h'

@description('How many instances there may be.')
@minValue(40)
@maxValue(1000)
param mostInstances int = 40

@description('For how many days logs are kept.')
param logDays int = 30

var storageName = 'br${uniqueString(resourceGroup().id, name)}'
var container = 'app'
var roles = {
  blobOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  secretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
}

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: storageName
  location: location
  sku: { name: 'Standard_LRS' }
  kind: 'StorageV2'
  properties: {
    // Nobody has a key: who the function app is decides.
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: storage
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: container
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: name
  location: location
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: logDays
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
  }
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: name
  location: location
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  kind: 'functionapp,linux'
  identity: { type: 'SystemAssigned' }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${container}'
          authentication: { type: 'SystemAssignedIdentity' }
        }
      }
      runtime: { name: 'custom', version: '1.0' }
      scaleAndConcurrency: {
        maximumInstanceCount: mostInstances
        instanceMemoryMB: 512
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: concat(
        [
          { name: 'AzureWebJobsStorage__accountName', value: storage.name }
          { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: insights.properties.ConnectionString }
          { name: 'AKS_CLUSTER', value: cluster }
          { name: 'NAMESPACE', value: namespace }
          { name: 'WORKER_IMAGE', value: workerImage }
          { name: 'JOB_SERVICE_ACCOUNT', value: 'brigantine-jobs' }
          { name: 'SWEEP_SCHEDULE', value: sweepSchedule }
          // What its sweeps delete.
          { name: 'VACUUM_AGE', value: buildAge }
        ],
        empty(sharedSecretUri)
          ? []
          : [{ name: 'DEFAULT_SHARED_SECRET', value: '@Microsoft.KeyVault(SecretUri=${sharedSecretUri})' }],
        empty(triggers) ? [] : [{ name: 'AZURE_TRIGGERS', value: triggers }]
      )
    }
  }
  dependsOn: [packages]
}

// The host keeps its leases and its timers there, and fetches the program from there.
resource storageRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: storage
  name: guid(storage.id, app.id, roles.blobOwner)
  properties: {
    principalId: app.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobOwner)
  }
}

resource keyVault 'Microsoft.KeyVault/vaults@2023-07-01' existing = if (!empty(vault)) {
  name: empty(vault) ? 'none' : vault
}

resource vaultRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(vault)) {
  scope: keyVault
  name: guid(keyVault.id, app.id, roles.secretsUser)
  properties: {
    principalId: app.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.secretsUser)
  }
}

module access 'cluster.bicep' = {
  name: '${name}-cluster'
  scope: resourceGroup(split(cluster, '/')[2], split(cluster, '/')[4])
  params: {
    cluster: last(split(cluster, '/'))
    principal: app.identity.principalId
  }
}

@description('Where webhooks go, with a path such as events/github after it.')
output address string = 'https://${app.properties.defaultHostName}/api/'

@description('Who the function app is in Kubernetes: a user of the chart\'s functions.subjects.')
output principal string = app.identity.principalId
