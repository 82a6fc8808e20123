// Lets the function app find the cluster. What it may do there, Kubernetes' roles say.

param cluster string
param principal string

// Azure Kubernetes Service Cluster User Role: it reads the kubeconfig, and nothing else.
var clusterUser = '4abbcc35-e782-43d8-92c5-2d3f1bd2253f'

resource aks 'Microsoft.ContainerService/managedClusters@2024-09-01' existing = {
  name: cluster
}

resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: aks
  name: guid(aks.id, principal, clusterUser)
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', clusterUser)
  }
}
